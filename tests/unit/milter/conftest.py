"""A site's context, and an MTA that drives a session as libmilter does and records the events."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import Milter
import pytest
from prometheus_client import CollectorRegistry

from stopit_core.daemon.logs import open_log
from stopit_core.daemon.systemd import Live
from stopit_core.decision.context import DecisionContext
from stopit_core.errors import Transient
from stopit_core.metrics import MilterMetrics
from stopit_core.model import FlagReport, Report, Trace
from stopit_core.stores.queue.spool import StoredIn
from stopit_milter.message_counter import MessageCounter
from stopit_milter.session import Session, SessionResources
from stopit_milter.sinks import Sinks

Pairs = Sequence[tuple[str, str | bytes]]

ORDINARY: Pairs = (
    ("From", "Mallory <mallory@campus.example>"),
    ("Message-ID", "<original@campus.example>"),
    ("Subject", "you"),
)


@dataclass
class Doubles:
    """The stores of a session under test. They record what they get, and fail if the test says so.

    `events` has everything that happened to a message, in order, including the edits of the MTA.
    """

    events: list[tuple[Any, ...]] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)
    where: StoredIn = StoredIn.QUEUE
    fault: BaseException | None = None
    trace_fault: BaseException | None = None
    flushes: bool = True

    def put(self, report: Report) -> StoredIn:
        if self.fault:
            raise self.fault
        self.reports.append(report)
        self.events.append(("report", report.id))
        return self.where

    def offer(self, trace: Trace) -> bool:
        if self.trace_fault:
            raise self.trace_fault
        self.traces.append(trace)
        self.events.append(("trace",))
        return True

    def flush(self, timeout: float) -> bool:
        self.events.append(("flush",))
        return self.flushes

    @property
    def flag(self) -> FlagReport:
        (report,) = self.reports
        assert isinstance(report, FlagReport)
        return report


class Mta:
    """The MTA's side of one connection, in place of libmilter's context. It records the edits."""

    ACTIONS: ClassVar = {
        "delrcpt": Milter.DELRCPT,
        "addrcpt": Milter.ADDRCPT,
        "addheader": Milter.ADDHDRS,
        "delheader": Milter.CHGHDRS,
    }

    def __init__(self, resources: SessionResources, doubles: Doubles, offered: int = 0x1FFFFF) -> None:
        self.macros: dict[str, Any] = {}
        self.failing = ""
        self.replied: tuple[str, ...] = ()
        self._doubles = doubles
        self.session = Session(resources)
        self.options = [Milter.CURR_ACTS, offered, 0, 0]
        assert self.session.negotiate(self.options) == Milter.CONTINUE

    def getsymval(self, name: str) -> str | None:
        value = self.macros.get(name)
        if isinstance(value, bytes):
            return value.decode("utf-8")
        if isinstance(value, BaseException):
            raise value
        return value

    def setreply(self, *reply: str) -> None:
        self.replied = reply

    def delrcpt(self, path: str) -> None:
        self._edit("delrcpt", path)

    def addrcpt(self, path: str) -> None:
        self._edit("addrcpt", path)

    def addheader(self, name: str, value: str) -> None:
        self._edit("addheader", name, value)

    def chgheader(self, name: str, index: int, value: str | None) -> None:
        assert value is None
        self._edit("delheader", name, index)

    def _edit(self, *edit: Any) -> None:
        for text in edit:
            if isinstance(text, str):
                text.encode("utf-8")  # pymilter can pass nothing else
        if self.failing == edit[0] or not self.ACTIONS[edit[0]] & self.options[0]:
            raise Milter.error("cannot")
        self._doubles.events.append(edit)

    def send(
        self,
        recipients: Sequence[str | bytes],
        fields: Pairs = ORDINARY,
        body: bytes = b"Hello.\r\n",
        login: str | bytes = "",
        mail_from: bytes = b"<mallory@campus.example>",
        client: str | None = "192.0.2.9",
        queue_id: str | None = "4Xabc",
        block: int = 65535,
    ) -> int:
        """Send one message. Return the reply that ends it, or CONTINUE without one (it is delivered unchanged)."""
        session = self.session
        self.macros |= {"{auth_authen}": login or None, "i": None}
        if client is not None:
            session.connect(socket.AF_INET, (client, 4711))
        session.envfrom(self, mail_from)
        for path in recipients:
            session.envrcpt(path if isinstance(path, bytes) else path.encode())
        self.macros["i"] = queue_id
        for name, value in fields:
            session.header(name, value if isinstance(value, bytes) else value.encode())
        answer = session.eoh(self)
        if answer != Milter.CONTINUE:
            return answer
        for start in range(0, len(body), block):
            answer = session.body(self, body[start : start + block])
            if answer == Milter.SKIP:
                break
            if answer != Milter.CONTINUE:
                return answer
        return session.eom(self)


@pytest.fixture
def doubles() -> Doubles:
    return Doubles()


@pytest.fixture
def log_lines() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def metrics() -> MilterMetrics:
    return MilterMetrics(CollectorRegistry())


@pytest.fixture
def message_counter(metrics: MilterMetrics) -> MessageCounter:
    return MessageCounter(metrics)


@pytest.fixture
def counted(metrics: MilterMetrics, message_counter: MessageCounter) -> Callable[..., float]:
    """Return the value of a series, by name and labels, after the message counter is folded."""

    def value(name: str, **labels: str) -> float:
        message_counter.fold()
        return metrics.registry.get_sample_value(name, labels) or 0.0

    return value


@pytest.fixture
def mta_of(
    doubles: Doubles, metrics: MilterMetrics, message_counter: MessageCounter, log_lines: io.StringIO
) -> Callable[..., Mta]:
    """Return an MTA that is connected to a session with this context."""

    def connect(context: DecisionContext, offered: int = 0x1FFFFF) -> Mta:
        log = open_log("stopit-milter", log_lines)
        sinks = Sinks(doubles, doubles, doubles, metrics, log)
        return Mta(
            SessionResources(Live(context), sinks, metrics, message_counter, log, clock=lambda: 1000.0),
            doubles,
            offered,
        )

    return connect


@pytest.fixture
def mta(mta_of: Callable[..., Mta], context: DecisionContext) -> Mta:
    return mta_of(context)


@pytest.fixture
def away() -> Transient:
    return Transient("redis: away; spool: disk full")
