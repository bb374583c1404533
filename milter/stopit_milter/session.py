"""One connection of the MTA: the callbacks of libmilter, which collect, ask `decide`, and apply. No policy here.

    MAIL, RCPT, header      collected, unanswered (no-reply steps; what is not needed is negotiated away)
    end of headers          `prospect`: nearly every message is accepted here, its body never sent
    body                    collected up to what was asked for, then SKIP
    end of message          `decide`, then: report durable -> edits -> traces -> answer

libmilter calls from any of its threads, one callback at a time for a connection, so all state lives on the session;
it begins anew at each MAIL, because several messages come over one connection and RSET is only an `abort`.

A fault of ours must neither stop mail nor let a flag slip through to the sender. So after one (`guard`) the message
passes untouched, unless it may be a member's flag or was already ruled to be one; then the client keeps it (451).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

import Milter

from stopit_core.envelope import Envelope
from stopit_core.logs import Log
from stopit_core.mail import Headers
from stopit_core.metrics import MessageResult, MilterMetrics, Stage
from stopit_core.service import Live
from stopit_milter.aside import Aside
from stopit_milter.decide import Prospect, Ruling, decide, may_be_flag, prospect
from stopit_milter.edits import apply
from stopit_milter.engine import Engine
from stopit_milter.guard import answered, unanswered
from stopit_milter.outlets import Outlets, RefusedError
from stopit_milter.transaction import FIELD_BYTES, Field, Transaction

__all__ = ["ACTIONS", "Context", "Session"]

ACTIONS: int = Milter.ADDHDRS | Milter.CHGHDRS | Milter.ADDRCPT | Milter.DELRCPT
"""What this milter may do to a message."""

_ACCEPT: int = Milter.ACCEPT
_CONTINUE: int = Milter.CONTINUE
_SKIP: int = Milter.SKIP
_TEMPFAIL: int = Milter.TEMPFAIL

_UNREADABLE = "\ufffd"
"""A login that is no UTF-8: somebody did log in, so a flag of theirs is withheld, but nobody is named by it."""
_KEPT_BY_CLIENT = "Stopit cannot take your report now. Please send it again in a few minutes."


@dataclass(frozen=True, slots=True)
class Context:
    """What the sessions of one worker share. `clock` gives seconds since the epoch; `aside` reads content."""

    live: Live[Engine]
    outlets: Outlets
    metrics: MilterMetrics
    log: Log
    clock: Callable[[], float] = time.time
    aside: Aside = field(default_factory=Aside)


class Session(Milter.Base):  # type: ignore[misc]  # pymilter has no types
    """Collects one message after the other and does what is decided on each."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ctx = None
        self._protocol = 0
        self._client: str | None = None
        self.stage = Stage.CONNECT
        self.began = 0.0
        self._begin()

    def _begin(self) -> None:
        """A new message."""
        self._engine = self._context.live.current
        self._login = ""
        self._relay = False
        self._mail_from = ""
        self._recipients: list[str] = []
        self._fields: list[Field] = []
        self._field_bytes = 0
        self._queue_id = ""
        self._transaction: Transaction | None = None
        self._prospect: Prospect | None = None
        self._body = bytearray()
        self._truncated = False
        self._ruling: Ruling | None = None
        self._faulty = False
        self._field_lost = False
        self.spent = 0.0

    def negotiate(self, opts: list[int]) -> int:
        """Ask for the steps that are used and the actions that are needed, and no more."""
        answer: int = super().negotiate(opts)
        if answer == _CONTINUE:
            opts[0] = self._actions = opts[0] & ACTIONS
        return answer

    @unanswered(Stage.CONNECT, Milter.P_NR_CONN)
    def connect(self, _hostname: str, family: int, hostaddr: tuple[str, ...] | str | None) -> None:
        """The client. `hostaddr` begins with its IP address, for the families that have one."""
        self._client = str(hostaddr[0]) if hostaddr and family in (socket.AF_INET, socket.AF_INET6) else ""

    def envfrom_bytes(self, *words: bytes) -> int:
        """MAIL as libmilter gives it: the path, then parameters."""
        return self.envfrom(words[0])

    @unanswered(Stage.ENVELOPE, Milter.P_NR_MAIL)
    def envfrom(self, path: bytes) -> None:
        """MAIL: another message begins."""
        self._begin()
        self._login = self._macro("{auth_authen}", _UNREADABLE)
        if self._client is None:  # pymilter could not read the client's name, and left `connect` out
            self._client = self._macro("{client_addr}", "")
        self._relay = self._engine.people.is_relay(self._client)
        text = path.decode("utf-8", "replace").strip()
        self._mail_from = text[1:-1].strip() if text.startswith("<") and text.endswith(">") else text

    def envrcpt_bytes(self, *words: bytes) -> int:
        """RCPT as libmilter gives it: the path, then parameters."""
        return self.envrcpt(words[0])

    @unanswered(Stage.ENVELOPE, Milter.P_NR_RCPT)
    def envrcpt(self, path: bytes) -> None:
        """RCPT: kept as it is, because by no other spelling can it be removed."""
        self._recipients.append(path.decode("utf-8", "surrogateescape"))

    def header_bytes(self, name: str, value: bytes) -> int:
        """A header field as libmilter gives it."""
        return self.header(name, value)

    @unanswered(Stage.HEADER, Milter.P_NR_HDR)
    def header(self, name: str, value: bytes) -> None:
        """A header field. Beyond the cap its name is kept: the number of a field of ours must still be right."""
        self._field_bytes += len(value)
        self._fields.append((name, value if self._field_bytes <= FIELD_BYTES else b""))

    @answered(Stage.DECIDE)
    def eoh(self) -> int:
        """End of headers: accept, or ask for more."""
        self._queue_id = self._macro("i", "")
        if self._faulty:
            return self.give_way()
        self._transaction = self._collected()
        self._prospect = prospect(self._transaction, self._engine)
        if self._prospect.to_end:
            return _CONTINUE
        self.stage = Stage.LEDGER
        self._context.outlets.pass_by(self._transaction, self._engine)
        return self._accept(MessageResult.ACCEPTED)

    @answered(Stage.BODY)
    def body(self, block: bytes) -> int:
        """A part of the body."""
        room = self._prospect.body_bytes - len(self._body) if self._prospect else 0
        self._body += block[:room]
        if len(block) <= room:
            return _CONTINUE
        self._truncated = True
        return _SKIP if self._protocol & Milter.P_SKIP else _CONTINUE

    @answered(Stage.DECIDE)
    def eom(self) -> int:
        """End of message: decide, and do it in the safe order."""
        if self._faulty or self._transaction is None:
            return self.give_way()
        transaction = replace(self._transaction, body=bytes(self._body), truncated=self._truncated)
        ruling = self._ruling = self._context.aside.do(partial(decide, transaction, self._engine))
        self.stage = Stage.REPORT
        try:
            self._context.outlets.keep(ruling, self._engine)
        except RefusedError:
            return self._accept(MessageResult.ACCEPTED) if self._engine.observe else self._refuse()
        self.stage = Stage.EDIT
        apply(ruling.edits, self)
        self.stage = Stage.LEDGER
        self._context.outlets.leave(ruling, self._queue_id)
        if ruling.flag:
            return self._accept(MessageResult.FLAGGED)
        return self._accept(MessageResult.ANSWERED if ruling.answers else MessageResult.ACCEPTED)

    def abort(self) -> int:
        """The client gave this message up (RSET, or it is gone); the next MAIL begins anew."""
        return _CONTINUE

    def close(self) -> int:
        """The connection is over; it may never have begun."""
        return _CONTINUE

    def remember(self, fault: BaseException) -> None:
        """Count and log a fault of ours. Raises nothing: not even a full disk under the log decides on mail."""
        self._faulty = True
        self._field_lost = self._field_lost or self.stage is Stage.HEADER
        with suppress(BaseException):
            self._context.metrics.faults.labels(self.stage.value).inc()
            self._context.log.error("fault", queue_id=self._queue_id, stage=self.stage.value, exc_info=fault)

    def give_way(self) -> int:
        """After a fault: let the message pass untouched, unless a flag could reach the sender by that."""
        try:
            return self._refuse() if self._may_hold_flag() else self._accept(MessageResult.ACCEPTED)
        except BaseException:  # noqa: BLE001
            return _TEMPFAIL if self._login or self._relay else _ACCEPT

    def _may_hold_flag(self) -> bool:
        if self._engine.observe or (self._prospect is not None and not self._prospect.to_end):
            return False
        if self._ruling is not None:
            return bool(self._ruling.flag or self._ruling.answers)
        envelope = Envelope(login=self._login, relay=self._relay, recipients=tuple(self._recipients))
        if self._field_lost:  # it may have been the one that makes this a reply
            return envelope.trusted
        return may_be_flag(envelope, frozenset(name.strip().lower() for name, _ in self._fields), self._engine)

    def _collected(self) -> Transaction:
        envelope = Envelope(
            login=self._login,
            relay=self._relay,
            client=self._client or "",
            mail_from=self._mail_from,
            recipients=tuple(self._recipients),
            queue_id=self._queue_id,
        )
        headers = Headers((name, value.decode("utf-8", "surrogateescape")) for name, value in self._fields)
        return Transaction(envelope, tuple(self._fields), headers, self._context.clock())

    def _macro(self, name: str, unreadable: str) -> str:
        """A macro's value, "" when the MTA did not give it, `unreadable` when it is no UTF-8 (pymilter raises)."""
        if self._ctx is None:
            return ""
        try:
            value = self.getsymval(name)
        except UnicodeDecodeError:
            return unreadable
        return value if isinstance(value, str) else ""

    def _accept(self, result: MessageResult) -> int:
        self._count(result)
        return _ACCEPT

    def _refuse(self) -> int:
        self.setreply("451", "4.7.1", _KEPT_BY_CLIENT)
        self._count(MessageResult.TEMPFAILED)
        return _TEMPFAIL

    def _count(self, result: MessageResult) -> None:
        self._context.metrics.messages.labels(result.value).inc()
        self._context.metrics.duration.observe(self.spent + time.perf_counter() - self.began)
