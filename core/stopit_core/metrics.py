"""Every metric, once, with its help text. Labels are enums of ours: never an address, case, queue id or Message-ID.

A program makes one `MilterMetrics` or `NotifierMetrics` in a registry of its own, so nothing is registered by an
import. Labelled series start at zero: a rate over a series that was never there is no alarm.

The milter runs in worker processes that share files (`in_worker`, prometheus_client's multiprocess mode). Each
worker slot has two names for its files, of which a worker takes the first that no living one has: so a worker that
is started again goes on counting in the same files, one that relieves another has its own, and none pile up.
"""

from __future__ import annotations

import fcntl
import os
from bisect import bisect_left
from collections import Counter as Tallied
from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import count
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server, values
from prometheus_client.multiprocess import MultiProcessCollector

from stopit_core import __version__
from stopit_core.model import Channel

__all__ = [
    "BatchHistogram",
    "FlagResult",
    "MessageResult",
    "MilterMetrics",
    "NotifierMetrics",
    "SendResult",
    "Stage",
    "TraceResult",
    "gathered",
    "in_worker",
    "serve",
]


class MessageResult(StrEnum):
    """What the milter did with a message."""

    ACCEPTED = "accepted"
    FLAGGED = "flagged"
    ANSWERED = "answered"
    TEMPFAILED = "tempfailed"


class FlagResult(StrEnum):
    """What became of a flag at the milter."""

    QUEUED = "queued"
    SPOOLED = "spooled"
    REFUSED = "refused"


class TraceResult(StrEnum):
    """What became of a trace."""

    WRITTEN = "written"
    DROPPED = "dropped"


class Stage(StrEnum):
    """Where in a message's way a fault of ours happened."""

    CONNECT = "connect"
    ENVELOPE = "envelope"
    HEADER = "header"
    BODY = "body"
    DECIDE = "decide"
    REPORT = "report"
    EDIT = "edit"
    LEDGER = "ledger"
    SPOOL = "spool"


class SendResult(StrEnum):
    """What became of an attempt to send a message of ours."""

    SENT = "sent"
    DEFERRED = "deferred"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNCLEAR = "unclear"


_DURATION = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class BatchHistogram(Histogram):
    """A histogram that takes many observations at the price of one."""

    def observe_all(self, amounts: Sequence[float]) -> None:
        """The same as `observe` of each."""
        places = Tallied(bisect_left(self._upper_bounds, amount) for amount in amounts)
        if not places:
            return
        self._sum.inc(sum(amounts))
        for place, number in places.items():
            self._buckets[place].inc(number)


class _Shared:
    """What both daemons tell of themselves."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.build_info = Gauge(
            "stopit_build_info", "Always 1; the version is the label.", ["version"], registry=registry,
            multiprocess_mode="max",
        )  # fmt: skip
        self.build_info.labels(__version__).set(1)
        self.reload_successful = Gauge(
            "stopit_config_last_reload_successful",
            "1 when the configuration in the file is the one in force, 0 when the last reload was refused.",
            registry=registry, multiprocess_mode="min",
        )  # fmt: skip
        self.reload_successful.set(1)


class MilterMetrics(_Shared):
    """What stopit-milter counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.messages = Counter(
            "stopit_milter_messages", "Messages whose handling by the milter ended, by what it did.",
            ["result"], registry=registry,
        )  # fmt: skip
        self.duration = BatchHistogram(
            "stopit_milter_message_duration_seconds",
            "Time that the MTA waited for the milter's own code at one message, all answered steps together.",
            buckets=_DURATION, registry=registry,
        )  # fmt: skip
        self.faults = Counter(
            "stopit_milter_faults",
            "Faults of the milter's own, by where they happened.",
            ["stage"],
            registry=registry,
        )
        self.flags = Counter(
            "stopit_flags", "Flags recognised, by how they came and whether they were made durable.",
            ["channel", "result"], registry=registry,
        )  # fmt: skip
        self.traces = Counter(
            "stopit_traces", "Traces written to the ledger, or dropped because it could not keep up.",
            ["result"], registry=registry,
        )  # fmt: skip
        self.spool_depth = Gauge(
            "stopit_spool_depth", "Reports in the spool, waiting for the queue to come back.",
            registry=registry, multiprocess_mode="max",
        )  # fmt: skip
        self.connections = Gauge(
            "stopit_milter_connections",
            "Connections that the milter holds: pymilter's contexts made, less those let go of.",
            registry=registry, multiprocess_mode="sum",
        )  # fmt: skip
        _at_zero(self.messages, MessageResult)
        _at_zero(self.faults, Stage)
        _at_zero(self.traces, TraceResult)
        for channel in Channel:
            for result in FlagResult:
                self.flags.labels(channel.value, result.value)

    def leave(self) -> None:
        """This worker ends for good, its files stay: what it told of the moment is no more."""
        self.spool_depth.set(0)
        self.connections.set(0)
        self.reload_successful.set(1)


class NotifierMetrics(_Shared):
    """What stopit-notifier counts. `outcomes` are all (outcome, reason) pairs, `kinds` all kinds of messages,
    `states` all states of a case: the enums of `policy` and `cases`, which stand above this module."""

    def __init__(
        self,
        registry: CollectorRegistry,
        outcomes: Iterable[tuple[str, str]],
        kinds: Iterable[str],
        states: Iterable[str],
    ) -> None:
        super().__init__(registry)
        self.queue_depth = Gauge(
            "stopit_queue_depth", "Reports in the queue that are not yet acknowledged.", registry=registry
        )
        self.queue_oldest_age = Gauge(
            "stopit_queue_oldest_age_seconds", "Age of the oldest report in the queue.", registry=registry
        )
        self.dead_letters = Gauge(
            "stopit_dead_letters", "Reports set aside for a person (stopitctl queue list).", registry=registry
        )
        self.decisions = Counter(
            "stopit_decisions",
            "Decisions on reports, by outcome and reason.",
            ["outcome", "reason"],
            registry=registry,
        )
        self.sent = Counter(
            "stopit_messages_sent", "Attempts to send a message of ours, by its kind and what became of it.",
            ["kind", "result"], registry=registry,
        )  # fmt: skip
        self.cases = Gauge("stopit_cases", "Cases on record, by state.", ["state"], registry=registry)
        self.contacts = Counter(
            "stopit_contacts_after_notice", "Messages from a notified sender to the reporter, after the notice.",
            registry=registry,
        )  # fmt: skip
        self.senders_notified = Gauge(
            "stopit_senders_notified", "Senders on record who have been sent a notice.", registry=registry
        )
        self.senders_recurred = Gauge(
            "stopit_senders_recurred", "Of those, the ones reported again for mail sent after the notice.",
            registry=registry,
        )  # fmt: skip
        self.outbox_due = Gauge(
            "stopit_outbox_due", "Messages of ours whose time has come and that are not sent yet.", registry=registry
        )
        self.faults = Counter(
            "stopit_notifier_faults", "Faults while taking reports or sending; the work is tried again.",
            ["stage"], registry=registry,
        )  # fmt: skip
        self.last_success = Gauge(
            "stopit_notifier_last_success_timestamp_seconds",
            "When the notifier last looked through queue and outbox without a fault.", registry=registry,
        )  # fmt: skip
        for stage in ("intake", "outbox", "gauges"):
            self.faults.labels(stage)
        for outcome, reason in outcomes:
            self.decisions.labels(outcome, reason)
        for kind in kinds:
            for result in SendResult:
                self.sent.labels(kind, result.value)
        for state in states:
            self.cases.labels(state)


def in_worker(directory: Path, slot: int) -> None:
    """Make this process count in files of worker `slot` that are its own. Call before any metric is made."""
    names = (f"worker{slot}-{turn}" for turn in count())
    name = next(name for name in names if _is_ours(directory / f"{name}.lock"))
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    values.ValueClass = values.MultiProcessValue(lambda: name)  # type: ignore[no-untyped-call]


def gathered(directory: Path) -> CollectorRegistry:
    """A registry that adds up what all workers count in `directory`."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(directory))  # type: ignore[no-untyped-call]
    return registry


def serve(address: str, registry: CollectorRegistry) -> None:
    """Answer Prometheus at "host:port", from a thread of its own. Raises OSError when the port is taken."""
    host, _, port = address.rpartition(":")
    start_http_server(int(port), addr=host.strip("[]"), registry=registry)


def _is_ours(lock: Path) -> bool:
    """Take a lock that is held until this process ends, however it does; False when another one has it."""
    descriptor = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    return True


def _at_zero(counter: Counter, results: type[StrEnum]) -> None:
    for result in results:
        counter.labels(result.value)
