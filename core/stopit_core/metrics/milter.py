"""What stopit-milter tells, by its workers and at its door."""

from __future__ import annotations

from itertools import product

from prometheus_client import CollectorRegistry

from stopit_core.metrics.described import DaemonMetrics, Metrics
from stopit_core.metrics.results import FlagResult, MessageResult, Stage, TraceResult, each
from stopit_core.model import Channel

__all__ = ["HttpMetrics", "MilterHttpMetrics", "MilterMetrics"]

_HANDLING = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds. An ordinary message costs a fifth of a millisecond; a flag a few, with a sync of the disk; 0.5 is Redis's
time-out, after which the spool is taken."""


class HttpMetrics(Metrics):
    """What the door itself tells, at which a daemon is asked for its metrics and its health."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.ready = self.gauge(
            "stopit_ready",
            "1 or 0",
            "1 when a message (stopit-milter) or a report (stopit-notifier) would be handled now, as /readyz says.",
            "0 for more than a minute: `stopitctl health` says what is wrong.",
        )


class MilterHttpMetrics(HttpMetrics):
    """What only stopit-milter's door tells: it stands in a process beside the workers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.workers_ended = self.counter(
            "stopit_milter_workers_ended",
            "workers",
            "Workers, and the child that writes their traces, that ended unasked or hung, and were started again.",
            "Any rise: a crash, which Postfix answers by `default_action` where it was a worker. The log has the "
            "exit code.",
        )


class MilterMetrics(DaemonMetrics):
    """What stopit-milter's workers count."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.messages = self.counter(
            "stopit_milter_messages",
            "messages",
            "Messages whose handling by the milter ended, by what it did.",
            "`tempfailed` above zero: members are told to send their reports again. All at zero on a working day: "
            "the MTA no longer asks the milter.",
            ["result"],
            each(MessageResult),
        )
        self.duration = self.histogram(
            "stopit_milter_message_duration_seconds",
            "Time that the MTA waited for the milter's own code at one message, all answered steps together.",
            "A 99th percentile above a few milliseconds: the host is short of processors, or its disk is slow.",
            _HANDLING,
        )
        self.faults = self.counter(
            "stopit_milter_faults",
            "faults",
            "Faults of the milter's own, by where they happened.",
            "Any rise: the stage says where, the log has a line each with the queue id.",
            ["stage"],
            each(Stage),
        )
        self.flags = self.counter(
            "stopit_flags",
            "flags",
            "Flags recognised, by how they came and whether they were made durable.",
            "`spooled`: the queue was away. `refused`: the spool too, and the member was told to send again. The sum "
            "over a week, by channel, is how members flag.",
            ["channel", "result"],
            [(channel.value, result.value) for channel, result in product(Channel, FlagResult)],
        )
        self.traces = self.counter(
            "stopit_traces",
            "traces",
            "Traces written to the ledger, or dropped because it could not keep up.",
            "`dropped` above zero: flags of that mail will go to staff, because nobody can be identified.",
            ["result"],
            each(TraceResult),
        )
        self.spool_depth = self.gauge(
            "stopit_spool_depth",
            "reports",
            "Reports in the spool, waiting for the queue to come back.",
            "Above zero for minutes: the queue is away, or refuses writes.",
        )
        self.connections = self.gauge(
            "stopit_milter_connections",
            "connections",
            "Connections that the milter holds: pymilter's contexts made, less those let go of.",
            "A floor that rises from day to day and never falls: something leaks.",
            together="sum",
        )

    def leave(self) -> None:
        """This worker ends for good, its files stay: what it told of the moment is no more."""
        self.spool_depth.set(0)
        self.connections.set(0)
        self.reload_successful.set(1)
