"""The metrics of stopit-milter: those of its workers, and those of the process that serves them."""

from __future__ import annotations

from itertools import product

from prometheus_client import CollectorRegistry

from stopit_core.metrics.described import DaemonMetrics, Metrics
from stopit_core.metrics.results import FlagResult, MessageResult, Stage, TraceResult, each
from stopit_core.model import Channel

__all__ = ["HttpMetrics", "MilterHttpMetrics", "MilterMetrics"]

_HANDLING = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Seconds. An ordinary message takes a fifth of a millisecond. A flag takes a few, because it syncs the disk. 0.5 is
the timeout of Redis, after which the milter uses the spool."""


class HttpMetrics(Metrics):
    """The metrics of the HTTP server that serves /metrics, /healthz and /readyz of a daemon."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.ready = self.gauge(
            "stopit_ready",
            "1 or 0",
            "1 if the daemon can handle a message (stopit-milter) or a report (stopit-notifier) now, as in /readyz.",
            "0 for more than a minute: `stopitctl health` names the fault.",
        )


class MilterHttpMetrics(HttpMetrics):
    """The metrics of stopit-milter's HTTP server, which runs in a process of its own beside the workers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.workers_ended = self.counter(
            "stopit_milter_workers_ended",
            "workers",
            "Workers and trace writers that crashed or hung, and were restarted.",
            "Any rise: a crash. If a worker crashed, Postfix applied `default_action` to its messages. The log has "
            "the exit code.",
        )


class MilterMetrics(DaemonMetrics):
    """The metrics of stopit-milter's workers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.messages = self.counter(
            "stopit_milter_messages",
            "messages",
            "Messages that the milter has handled, by result.",
            "`tempfailed` above zero: members are told to send their flags again. All at zero on a working day: "
            "the MTA does not use the milter.",
            ["result"],
            each(MessageResult),
        )
        self.duration = self.histogram(
            "stopit_milter_message_duration_seconds",
            "Time for which the MTA waited for the milter's own code in one message, all answered steps together.",
            "A 99th percentile above a few milliseconds: the host has too few cores, or its disk is slow.",
            _HANDLING,
        )
        self.faults = self.counter(
            "stopit_milter_faults",
            "faults",
            "Internal faults of the milter, by stage.",
            "Any rise: the stage says where; the log has one line for each fault, with the queue id.",
            ["stage"],
            each(Stage),
        )
        self.flags = self.counter(
            "stopit_flags",
            "flags",
            "Flags that the milter recognised, by channel and by whether the report was made durable.",
            "`spooled`: the queue was down. `refused`: queue and spool failed, and the member was told to send "
            "again. The sum over a week, by channel, shows how members flag.",
            ["channel", "result"],
            [(channel.value, result.value) for channel, result in product(Channel, FlagResult)],
        )
        self.traces = self.counter(
            "stopit_traces",
            "traces",
            "Traces written to the ledger, or dropped because the ledger was too slow or down.",
            "`dropped` above zero: flags of these messages go to staff, because the sender cannot be identified.",
            ["result"],
            each(TraceResult),
        )
        self.spool_depth = self.gauge(
            "stopit_spool_depth",
            "reports",
            "Reports in the spool that wait for the queue.",
            "Above zero for minutes: the queue is down, or refuses writes.",
        )
        self.connections = self.gauge(
            "stopit_milter_connections",
            "connections",
            "Open connections of the milter: contexts that pymilter created, minus those that it released.",
            "A minimum that rises from day to day and never falls: a leak.",
            together="sum",
        )

    def reset_gauges(self) -> None:
        """Reset the gauges of this worker before it ends, because its files stay."""
        self.spool_depth.set(0)
        self.connections.set(0)
        self.reload_successful.set(1)
