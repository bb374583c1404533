"""The outbox's side of the record: which message is due, who sends it, and what became of it.

Two kinds of changes. What somebody means to do (`begin`, `put_back`, `failed`, ...) holds only while the claim does:
a compare-and-swap on state, owner and attempt, so that a notifier that stalled and wakes up finds that the message
is no longer its own, and leaves it. That a message was `sent` is a fact, and is written whoever has the claim now.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import takewhile

from sqlalchemy import Connection, bindparam, select, update

from stopit_core.cases.event_log import EventLog
from stopit_core.cases.records import Actor, CaseState, EventKind, Message, MessageState, Party, ReportRow
from stopit_core.cases.rows import message_of, report_of
from stopit_core.cases.schema import messages, reports
from stopit_core.cases.work import NOTICE_KINDS, Work
from stopit_core.model import Digest

__all__ = ["Sending"]

_MAX_ERROR = 500
_IS_SENT = frozenset({MessageState.SENT, MessageState.BOUNCED})
_BEFORE_NOTICE = frozenset({CaseState.NOTICE_PENDING, CaseState.WAITING, CaseState.RECORDED})


_DUE = (
    select(messages)
    .where(messages.c.state == MessageState.PENDING.value, messages.c.due_at <= bindparam("now"))
    .order_by(messages.c.due_at, messages.c.id)
    .limit(bindparam("most"))
    .with_for_update(skip_locked=True)
)
_UNDER_WAY = (
    select(messages.c.id, messages.c.attempts)
    .where(messages.c.state == MessageState.SENDING.value)
    .order_by(messages.c.id)
)
_MARK_SENT = update(messages).values(state=MessageState.SENT.value, sent_at=bindparam("at"), error="")


class Sending:
    """What the outbox may do. Lives as long as its transaction."""

    def __init__(self, connection: Connection, event_log: EventLog) -> None:
        self.work = Work(connection, event_log)
        """The rest of the record, in the same transaction."""
        self._event_log = event_log

    @property
    def connection(self) -> Connection:
        """See `Work.connection`."""
        return self.work.connection

    # -- what is there

    def next_due(self) -> float | None:
        """When the next message is due, None when none waits."""
        statement = select(messages.c.due_at).where(messages.c.state == MessageState.PENDING.value)
        return self.connection.execute(statement.order_by(messages.c.due_at).limit(1)).scalar()

    def under_way(self) -> list[tuple[int, int]]:
        """Messages that somebody claimed and has not finished: the id and the attempt of each."""
        rows = self.connection.execute(_UNDER_WAY)
        return [(row.id, row.attempts) for row in rows]

    def still_under_way(self, attempts: Collection[tuple[int, int]]) -> list[Message]:
        """The messages of these attempts (see `under_way`) that are so still."""
        rows = self.connection.execute(
            select(messages)
            .where(
                messages.c.id.in_([message_id for message_id, _ in attempts]),
                messages.c.state == MessageState.SENDING.value,
            )
            .order_by(messages.c.id)
        )
        return [message for message in map(message_of, rows) if (message.id, message.attempts) in attempts]

    def last_sent(self) -> Message | None:
        """The message sent last: its trace shows whether our own mail passes the milter."""
        row = self.connection.execute(
            select(messages)
            .where(messages.c.state == MessageState.SENT.value)
            .order_by(messages.c.sent_at.desc(), messages.c.id.desc())
            .limit(1)
        ).first()
        return message_of(row) if row else None

    def reporters(self, case_id: int) -> frozenset[str]:
        """The canonical addresses of all who reported in a case, called off or not."""
        rows = self.connection.execute(select(reports.c.reporter).where(reports.c.case_id == case_id).distinct())
        return frozenset(address for (address,) in rows if address)

    def reports_on(self, notice: Message) -> list[ReportRow]:
        """The reports that led to a notice or joined it, the one that led to it first; also those called off."""
        rows = self.connection.execute(
            select(reports).where(reports.c.notice_id == notice.id).order_by(reports.c.decided_at, reports.c.key)
        )
        return [report_of(row) for row in rows]

    def led_to(self, notice: Message) -> ReportRow | None:
        """The report that led to a notice, called off or not."""
        row = self.connection.execute(
            select(reports)
            .where(reports.c.notice_id == notice.id)
            .order_by(reports.c.decided_at, reports.c.key)
            .limit(1)
        ).first()
        return report_of(row) if row else None

    def holds(self, message: Message) -> bool:
        """Whether the claim in `message` still stands. Nobody else takes it until the transaction ends."""
        row = self.connection.execute(
            select(messages.c.id)
            .where(
                messages.c.id == message.id,
                messages.c.state == MessageState.SENDING.value,
                messages.c.claimed_by == message.claimed_by,
                messages.c.attempts == message.attempts,
            )
            .with_for_update()
        ).first()
        return row is not None

    # -- what somebody means to do

    def claim(self, owner: str, now: float) -> Message | None:
        """The next message that is due, now `sending` and this owner's; None when nothing is due."""
        rows = self.connection.execute(_DUE, {"now": now, "most": 1}).all()
        return self._claimed(message_of(rows[0]), owner, now) if rows else None

    def claim_lot(self, owner: str, now: float, most: int, *, alone: bool = True) -> list[Message]:
        """The next message that is due, if that is a notice; else up to `most` that are due before the next notice.

        Not `alone`: nothing, when that would be one message. They are `sending` and this owner's. Several have begun
        with that (`data_at`): see `outbox`.
        """
        due = list(map(message_of, self.connection.execute(_DUE, {"now": now, "most": most})))
        lot = list(takewhile(lambda message: message.party is not Party.SENDER, due))
        if len(lot) < 2:
            return [self._claimed(message, owner, now) for message in due[:1]] if alone else []
        self.connection.execute(
            update(messages)
            .where(messages.c.id.in_([message.id for message in lot]))
            .values(
                state=MessageState.SENDING.value,
                claimed_by=owner,
                claimed_at=now,
                data_at=now,
                error="",
                attempts=messages.c.attempts + 1,
            )
        )
        return [_as_claimed(message, owner, now, data_at=now) for message in lot]

    def begin(self, message: Message, now: float) -> bool:
        """DATA is about to go out. False when the claim no longer stands: then it must not."""
        if not self.holds(message):
            return False
        self._set(message, data_at=now)
        return True

    def unanswered(self, message: Message, error: str) -> bool:
        """The MTA has the whole message and did not answer: it stays `sending`, and this is why."""
        if not self.holds(message):
            return False
        self._set(message, error=error[:_MAX_ERROR] or "no answer")
        return True

    def put_back(self, message: Message, error: str, again_at: float) -> bool:
        """It was not sent: due again at `again_at`."""
        if not self.holds(message):
            return False
        self._set(message, state=MessageState.PENDING.value, due_at=again_at, error=error[:_MAX_ERROR])
        return True

    def failed(self, message: Message, error: str, at: float) -> bool:
        """It cannot be sent, ever. A notice's case is for staff then."""
        return self._end(message, MessageState.FAILED, EventKind.MESSAGE_FAILED, error, at)

    def unclear(self, message: Message, error: str, at: float) -> bool:
        """Nobody can tell whether the MTA took it; it is not sent again. A notice's case is for staff then."""
        return self._end(message, MessageState.UNCLEAR, EventKind.MESSAGE_UNCLEAR, error, at)

    # -- what is a fact

    def sent(self, message: Message, at: float) -> bool:
        """The MTA took it at `at`. False when that is on record already."""
        current = self._event_log.hold(message.case_id)
        state = self.connection.execute(
            select(messages.c.state).where(messages.c.id == message.id).with_for_update()
        ).scalar_one()
        if MessageState(state) in _IS_SENT:
            return False
        self._set(message, state=MessageState.SENT.value, sent_at=at, error="")
        self._write(message, EventKind.MESSAGE_SENT, "", at)
        if message.kind in NOTICE_KINDS and current in _BEFORE_NOTICE:
            self._event_log.change_state(message.case_id, CaseState.NOTIFIED, at, Actor.SYSTEM)
        return True

    def all_sent(self, taken: Sequence[tuple[Message, float]]) -> list[Message]:
        """The MTA took each of these at its time; none is a notice. Those of which that is not on record yet."""
        for case_id in sorted({message.case_id for message, _ in taken}):
            self._event_log.hold(case_id)
        states = self.connection.execute(
            select(messages.c.id, messages.c.state)
            .where(messages.c.id.in_([message.id for message, _ in taken]))
            .order_by(messages.c.id)
            .with_for_update()
        )
        known = {row.id for row in states if MessageState(row.state) in _IS_SENT}
        fresh = [(message, at) for message, at in taken if message.id not in known]
        if fresh:
            self.connection.execute(
                _MARK_SENT.where(messages.c.id == bindparam("message")),
                [{"message": message.id, "at": at} for message, at in fresh],
            )
        for message, at in fresh:
            self._write(message, EventKind.MESSAGE_SENT, "", at)
        return [message for message, _ in fresh]

    def watch(self, pairs: Collection[Digest], case_id: int, since: float, until: float) -> None:
        """Watch pairs from the notice on."""
        for pair in pairs:
            self.work.watch(pair, case_id, since, until)

    # -- inside

    def _end(self, message: Message, state: MessageState, kind: EventKind, error: str, at: float) -> bool:
        current = self._event_log.hold(message.case_id)
        if not self.holds(message):
            return False
        self._set(message, state=state.value, error=error[:_MAX_ERROR])
        self._write(message, kind, error[:_MAX_ERROR], at)
        if message.kind in NOTICE_KINDS and current in _BEFORE_NOTICE:
            self._event_log.change_state(message.case_id, CaseState.STAFF, at, Actor.SYSTEM)
        return True

    def _claimed(self, message: Message, owner: str, now: float) -> Message:
        claimed = _as_claimed(message, owner, now, data_at=None)
        self._set(
            message,
            state=MessageState.SENDING.value,
            claimed_by=owner,
            claimed_at=now,
            data_at=None,
            error="",
            attempts=claimed.attempts,
        )
        return claimed

    def _write(self, message: Message, kind: EventKind, error: str, at: float) -> None:
        self._event_log.append(
            message.case_id, at, Actor.SYSTEM, kind, ref=message.ref, message=message.kind, error=error
        )

    def _set(self, message: Message, **values: object) -> None:
        self.connection.execute(update(messages).where(messages.c.id == message.id).values(**values))


def _as_claimed(message: Message, owner: str, now: float, data_at: float | None) -> Message:
    return replace(
        message,
        state=MessageState.SENDING,
        claimed_by=owner,
        claimed_at=now,
        data_at=data_at,
        error="",
        attempts=message.attempts + 1,
    )
