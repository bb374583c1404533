"""The rows of the milter: the mail that passes it, and the flags in it."""

from __future__ import annotations

from stopit_dashboards.panel import HERE, Limits, Row, Unit
from stopit_dashboards.rows.shapes import graph, quantiles

__all__ = ["FLAGS", "MAIL"]

MAIL = Row(
    "Does mail pass?",
    "Tempfailed or faults above zero: members must send again, or traces are missing. The stage says where.",
    (
        graph(
            "messages",
            "Messages by result",
            "The results of the milter. Tempfailed: the client must try again.",
            {"{result}": f"sum by (result) (rate(stopit_milter_messages_total{{{HERE}}}[5m]))"},
            Unit.PER_SECOND,
        ),
        graph(
            "duration",
            "Wait of a message",
            "How long the MTA waits for the milter per message: the median and the 99th percentile.",
            quantiles("stopit_milter_message_duration_seconds", "5m"),
            Unit.SECONDS,
        ),
        graph(
            "slowest",
            "Longest wait, by milter",
            "The 99th percentile of the wait, at each milter.",
            {"{instance}": f"stopit:milter_message_duration_seconds:p99_5m{{{HERE}}}"},
            Unit.SECONDS,
            Limits(0.05, 0.25),
        ),
        graph(
            "connections",
            "Connections of the MTA",
            "The open connections of each milter. If one only rises, the MTA does not close them, or they leak.",
            {"{instance}": f"sum by (instance) (stopit_milter_connections{{{HERE}}})"},
        ),
        graph(
            "milter-faults",
            "Faults of the milter, by stage",
            "Faults of Stopit. Mail that is no flag passes anyway; the log has a line for each fault.",
            {"{stage}": f"sum by (stage) (rate(stopit_milter_faults_total{{{HERE}}}[5m]))"},
            Unit.PER_SECOND,
        ),
        graph(
            "workers-ended",
            "Workers that crashed or hung, per hour",
            "Each is replaced. The MTA deferred the mail that it was processing.",
            {"{instance}": f"sum by (instance) (increase(stopit_milter_workers_ended_total{{{HERE}}}[1h]))"},
            limits=Limits(0.5, 5),
        ),
        graph(
            "traces",
            "Traces",
            "One per message. Dropped: the ledger is unreachable or too slow, and flags of that mail go to staff.",
            {"{result}": f"sum by (result) (rate(stopit_traces_total{{{HERE}}}[5m]))"},
            Unit.PER_SECOND,
        ),
    ),
)

FLAGS = Row(
    "Do members flag?",
    "Refused above zero: a report could not be stored, and the member's client must try again.",
    (
        graph(
            "flags-by-channel",
            "Flags per hour, by channel",
            "How members flag: with a reply, with the header, or with mail to the report address.",
            {"{channel}": f"sum by (channel) (increase(stopit_flags_total{{{HERE}}}[1h]))"},
        ),
        graph(
            "flags-by-result",
            "Flags per hour, by result",
            "Queued is normal. Spooled: the queue was unreachable; the report is safe. Refused: it was not stored.",
            {"{result}": f"sum by (result) (increase(stopit_flags_total{{{HERE}}}[1h]))"},
        ),
    ),
)
