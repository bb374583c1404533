"""The rows of the notifier: what waits, and what it does."""

from __future__ import annotations

from stopit_dashboards.panel import HERE, Limits, Row, Unit
from stopit_dashboards.rows.shapes import graph, quantiles, table

__all__ = ["NOTIFIER", "WAITING"]

WAITING = Row(
    "Does anything wait?",
    "The age of the oldest report shows whether the queue moves. A falling depth is a queue that empties.",
    (
        graph(
            "oldest-report",
            "Oldest report in the queue",
            "The age of the oldest report; a second is usual. Over ten minutes: a flood, or one report fails.",
            {"oldest": f"max(stopit_queue_oldest_age_seconds{{{HERE}}})"},
            Unit.SECONDS,
            Limits(600, 3600),
        ),
        graph(
            "queue-depth",
            "Reports in the queue",
            "Reports that the notifier has not yet processed.",
            {"queue": f"max(stopit_queue_depth{{{HERE}}})"},
        ),
        graph(
            "spool-depth",
            "Reports in the spools",
            "Reports that the milters store because the queue is unreachable. They move to the queue by themselves.",
            {"{instance}": f"max by (instance) (stopit_spool_depth{{{HERE}}})"},
            limits=Limits(1, 100),
        ),
        graph(
            "dead-letters",
            "Dead letters",
            "Reports that failed too often. `stopitctl queue list --dead` shows them, `stopitctl queue retry` puts "
            "them back.",
            {"dead letters": f"max(stopit_dead_letters{{{HERE}}})"},
            limits=Limits(1, 10),
        ),
    ),
)

NOTIFIER = Row(
    "Does the notifier work?",
    "First its last success, then what it could not send, then what it decides.",
    (
        graph(
            "last-success",
            "Since the last success",
            "The time since each notifier last processed queue and outbox without a fault.",
            {"{instance}": f"time() - max by (instance) (stopit_notifier_last_success_timestamp_seconds{{{HERE}}})"},
            Unit.SECONDS,
            Limits(120, 300),
        ),
        graph(
            "last-turn",
            "Since the last turn of the loop",
            "The time since the last turn of each notifier's loop, also a failed one. If it rises, the loop hangs.",
            {"{instance}": f"time() - max by (instance) (stopit_notifier_last_turn_timestamp_seconds{{{HERE}}})"},
            Unit.SECONDS,
            Limits(120, 300),
        ),
        graph(
            "outbox-due",
            "Due messages",
            "Notices, acknowledgements and alerts that are due and not yet sent.",
            {"due": f"max(stopit_outbox_due{{{HERE}}})"},
            limits=Limits(20, 200),
        ),
        graph(
            "outbox-put-off",
            "Deferred messages",
            "Messages that the MTA did not accept and that are tried again later. The MTA's log says why.",
            {"deferred": f"max(stopit_outbox_put_off{{{HERE}}})"},
            limits=Limits(1, 20),
        ),
        graph(
            "sends",
            "Sends per hour, by result",
            "Attempts to send a message. Deferred ones are tried again; staff are told of failed and unclear ones.",
            {"{result}": f"sum by (result) (increase(stopit_messages_sent_total{{{HERE}}}[1h]))"},
        ),
        graph(
            "notifier-faults",
            "Faults of the notifier, by stage",
            "Faults while processing reports or sending. The work is tried again.",
            {"{stage}": f"sum by (stage) (rate(stopit_notifier_faults_total{{{HERE}}}[5m]))"},
            Unit.PER_SECOND,
        ),
        graph(
            "bounced",
            "Bounced messages per day",
            "Messages that came back after the MTA accepted them. Of notices: the login's address does not exist.",
            {"{kind}": f"sum by (kind) (increase(stopit_messages_bounced_total{{{HERE}}}[1d]))"},
        ),
        graph(
            "report-age",
            "From the flag to the decision",
            "How long a member waits for the acknowledgement.",
            quantiles("stopit_report_age_at_decision_seconds", "1h"),
            Unit.SECONDS,
        ),
        graph(
            "decision-duration",
            "Processing time of a report",
            "The notifier's time for one report. It rises if the case record or the ledger is slow.",
            quantiles("stopit_decision_duration_seconds", "1h"),
            Unit.SECONDS,
        ),
        graph(
            "send-duration",
            "Duration of a send",
            "How long the MTA takes to accept one message.",
            quantiles("stopit_smtp_send_duration_seconds", "1h"),
            Unit.SECONDS,
        ),
        graph(
            "decisions",
            "Decisions per hour, by outcome",
            "The decisions on reports: notice, staff review, record only, wait, reject.",
            {"{outcome}": f"sum by (outcome) (increase(stopit_decisions_total{{{HERE}}}[1h]))"},
        ),
        table(
            "sends-by-kind",
            "Messages per day",
            "Sent messages, by kind and result.",
            ("kind", "result"),
            f"sum by (kind, result) (increase(stopit_messages_sent_total{{{HERE}}}[1d])) > 0",
        ),
        table(
            "reasons",
            "Decisions per week, by reason",
            "The number of decisions, by outcome and reason.",
            ("outcome", "reason"),
            f"sum by (outcome, reason) (increase(stopit_decisions_total{{{HERE}}}[7d])) > 0",
        ),
    ),
)
