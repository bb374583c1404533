"""One connection of the MTA: the callbacks collect, ask for the disposition, and apply it. No policy here.

    MAIL, RCPT, header      collected, unanswered (no-reply steps; other steps are negotiated away)
    end of headers          `precheck`: nearly every message is accepted here, its body never sent
    body                    collected up to the cap of the precheck, then SKIP
    end of message          `dispose`, then: report durable -> edits -> traces -> answer

libmilter calls from any of its threads, one callback at a time for a connection, so all state is on the session. It
starts over at each MAIL: several messages come over one connection, and RSET is only an `abort`.

A fault of ours must neither stop mail nor let a flag through to the sender. So after a fault the message passes
unchanged, unless it may be a member's flag or its disposition has a report; then the client keeps it (451).

By default pymilter answers 451 to an exception, even to KeyboardInterrupt, and SystemExit hangs the connection. So
`answered` catches everything in the callbacks that the MTA waits for. The steps without an answer (SMFIP_NR_*), some
fifteen a message, catch exceptions themselves and record the fault for the next step that has an answer.
"""

from __future__ import annotations

import functools
import socket
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Concatenate, ParamSpec

import Milter

from stopit_core.daemon.logs import Log, without_addresses
from stopit_core.daemon.systemd import Live
from stopit_core.decision.context import DecisionContext
from stopit_core.decision.disposition import dispose, may_be_flag
from stopit_core.metrics import MessageResult, MilterMetrics, Stage
from stopit_milter.content_thread import ContentThread
from stopit_milter.edits import Mta, apply, macro
from stopit_milter.message import Message
from stopit_milter.message_counter import MessageCounter
from stopit_milter.sinks import RefusedError, Sinks

__all__ = ["ACTIONS", "Session", "SessionResources"]

ACTIONS: int = Milter.ADDHDRS | Milter.CHGHDRS | Milter.ADDRCPT | Milter.DELRCPT
"""The changes that this milter may make to a message."""

_STEPS: int = (
    Milter.P_NOHELO
    | Milter.P_NODATA
    | Milter.P_NOUNKNOWN
    | Milter.P_SKIP
    | Milter.P_NR_CONN
    | Milter.P_NR_MAIL
    | Milter.P_NR_RCPT
    | Milter.P_NR_HDR
)
"""Protocol options: steps left out (P_NO*), steps without an answer (P_NR_*), and leave to end a body early."""

_ACCEPT: int = Milter.ACCEPT
_CONTINUE: int = Milter.CONTINUE
_NOREPLY: int = Milter.NOREPLY
_SKIP: int = Milter.SKIP
_TEMPFAIL: int = Milter.TEMPFAIL

_UNREADABLE = "\ufffd"
"""Stands for a login that is no UTF-8: a flag with it is withheld as a member's, but it names nobody."""
_KEPT_BY_CLIENT = "Stopit cannot take your report now. Please send it again in a few minutes."


@dataclass(frozen=True, slots=True)
class SessionResources:
    """The parts that the sessions of one worker share. `clock` returns seconds since the epoch."""

    live: Live[DecisionContext]
    sinks: Sinks
    metrics: MilterMetrics
    message_counter: MessageCounter
    log: Log
    clock: Callable[[], float] = time.time
    content_thread: ContentThread = field(default_factory=ContentThread)


P = ParamSpec("P")
Step = Callable[Concatenate["Session", Mta, P], int]


def answered(stage: Stage) -> Callable[[Step[P]], Step[P]]:
    """Decorate a callback that the MTA waits for: it raises nothing, and its time is measured."""

    def decorate(callback: Step[P]) -> Step[P]:
        def guard(self: Session, mta: Mta, /, *args: P.args, **kwargs: P.kwargs) -> int:
            self.began = time.perf_counter()
            self.stage = stage
            try:
                return callback(self, mta, *args, **kwargs)
            except BaseException as fault:  # noqa: BLE001  see the module's docstring
                self.record_fault(fault, self.stage)
                return self.fail_open(mta)
            finally:
                self.step_ended()

        return functools.update_wrapper(guard, callback)

    return decorate


class Session:
    """One connection: collects each message and applies its disposition."""

    def __init__(self, resources: SessionResources) -> None:
        self._resources = resources
        self._client: str | None = None
        self._message = Message(resources.live.current)
        self._skips = False
        self._after_connect = self._after_mail = self._after_rcpt = self._after_field = _CONTINUE
        self.stage = Stage.CONNECT
        self.began = 0.0

    def negotiate(self, options: list[int]) -> int:
        """Ask for the steps and actions that are needed, and no others. `options` is changed in place."""
        try:
            steps = options[1] & _STEPS
            options[:] = [options[0] & ACTIONS, steps, 0, 0]
        except BaseException as fault:  # noqa: BLE001  see the module's docstring
            self.record_fault(fault, Stage.CONNECT)
            return int(Milter.ALL_OPTS)
        self._skips = bool(steps & Milter.P_SKIP)
        self._after_connect = _NOREPLY if steps & Milter.P_NR_CONN else _CONTINUE
        self._after_mail = _NOREPLY if steps & Milter.P_NR_MAIL else _CONTINUE
        self._after_rcpt = _NOREPLY if steps & Milter.P_NR_RCPT else _CONTINUE
        self._after_field = _NOREPLY if steps & Milter.P_NR_HDR else _CONTINUE
        return _CONTINUE

    def connect(self, family: int, address: tuple[str, ...] | str | None) -> int:
        """Take the client's address. `address` begins with the IP address, for the families that have one."""
        try:
            self._client = str(address[0]) if address and family in (socket.AF_INET, socket.AF_INET6) else ""
        except BaseException as fault:  # noqa: BLE001
            self.record_fault(fault, Stage.CONNECT)
        return self._after_connect

    def envfrom(self, mta: Mta, path: bytes) -> int:
        """MAIL: begin a message."""
        try:
            message = self._message = Message(self._resources.live.current)
            message.login = macro(mta, "{auth_authen}", _UNREADABLE)
            if self._client is None:  # pymilter could not read the client's name, and did not call `connect`
                self._client = macro(mta, "{client_addr}")
            message.client = self._client
            message.relay = message.context.people.is_relay(self._client)
            text = path.decode("utf-8", "replace").strip()
            message.mail_from = text[1:-1].strip() if text.startswith("<") and text.endswith(">") else text
        except BaseException as fault:  # noqa: BLE001
            self.record_fault(fault, Stage.ENVELOPE)
        return self._after_mail

    def envrcpt(self, path: bytes) -> int:
        """RCPT: add a recipient, spelled as it is: the MTA removes it by no other spelling."""
        try:
            self._message.recipients.append(path.decode("utf-8", "surrogateescape"))
        except BaseException as fault:  # noqa: BLE001
            self.record_fault(fault, Stage.ENVELOPE)
        return self._after_rcpt

    def header(self, name: str, value: bytes) -> int:
        """Add a header field."""
        try:
            self._message.add_field(name, value)
        except BaseException as fault:  # noqa: BLE001
            self.record_fault(fault, Stage.HEADER)
        return self._after_field

    @answered(Stage.DECIDE)
    def eoh(self, mta: Mta) -> int:
        """End of headers: accept the message, or ask for its body."""
        message = self._message
        message.queue_id = macro(mta, "i")
        if message.faulty:
            return self.fail_open(mta)
        transaction, checked = message.end_headers(message.envelope(), self._resources.clock(), message.context)
        if checked.needs_end_of_message:
            return _CONTINUE
        self.stage = Stage.LEDGER
        self._resources.sinks.emit_trace(transaction, message.context)
        return self._accept(MessageResult.ACCEPTED)

    @answered(Stage.BODY)
    def body(self, _mta: Mta, block: bytes) -> int:
        """Add a part of the body."""
        wants_more = self._message.add_body(block)
        return _CONTINUE if wants_more or not self._skips else _SKIP

    @answered(Stage.DECIDE)
    def eom(self, mta: Mta) -> int:
        """End of message: find the disposition, and apply it in the safe order."""
        message, resources = self._message, self._resources
        if message.faulty or message.precheck is None:
            return self.fail_open(mta)
        decided = partial(dispose, message.whole(), message.precheck, message.context)
        disposition = message.disposition = (
            resources.content_thread.run(decided) if message.precheck.recognisers else decided()
        )
        self.stage = Stage.REPORT
        try:
            resources.sinks.persist(disposition, message.context)
        except RefusedError:
            harmless = message.context.observe and not disposition.edits.removed_recipients
            return self._accept(MessageResult.ACCEPTED) if harmless else self._refuse(mta)
        self.stage = Stage.EDIT
        apply(disposition.edits, mta)
        self.stage = Stage.LEDGER
        resources.sinks.emit(disposition, message.queue_id)
        if disposition.flag:
            return self._accept(MessageResult.FLAGGED)
        return self._accept(MessageResult.ANSWERED if disposition.answers else MessageResult.ACCEPTED)

    def record_fault(self, fault: BaseException, stage: Stage) -> None:
        """Count and log a fault of ours. Raises nothing, not even when the disk under the log is full."""
        message = self._message
        message.faulty = True
        message.field_lost = message.field_lost or stage is Stage.HEADER
        with suppress(BaseException):
            self._resources.metrics.faults.labels(stage.value).inc()
            trace = "".join(traceback.format_exception(fault))
            trace = without_addresses(trace, self._resources.live.current.keyring)
            self._resources.log.error("fault", queue_id=message.queue_id, stage=stage.value, trace=trace)

    def fail_open(self, mta: Mta) -> int:
        """After a fault: accept the message unchanged, unless a flag could reach the sender by that."""
        message = self._message
        try:
            return self._refuse(mta) if _may_hold_flag(message) else self._accept(MessageResult.ACCEPTED)
        except BaseException:  # noqa: BLE001
            return _TEMPFAIL if message.login or message.relay else _ACCEPT

    def step_ended(self) -> None:
        """Add the time of this step to the message's."""
        self._message.spent += time.perf_counter() - self.began

    def _accept(self, result: MessageResult) -> int:
        self._count(result)
        return _ACCEPT

    def _refuse(self, mta: Mta) -> int:
        mta.setreply("451", "4.7.1", _KEPT_BY_CLIENT)
        self._count(MessageResult.TEMPFAILED)
        return _TEMPFAIL

    def _count(self, result: MessageResult) -> None:
        self._resources.message_counter.ended(result, self._message.spent + time.perf_counter() - self.began)


def _may_hold_flag(message: Message) -> bool:
    """Return whether a message must not pass unread after a fault of ours."""
    if message.context.observe or (message.precheck is not None and not message.precheck.needs_end_of_message):
        return False
    if message.disposition is not None:
        return bool(message.disposition.flag or message.disposition.answers)
    if message.field_lost:  # it may have been the field that makes this a reply
        return message.envelope().trusted
    names = frozenset(name.strip().lower() for name, _ in message.fields)
    return may_be_flag(message.envelope(), names, message.context)
