"""The outbox's part of the record: which message is due, who sends it, and the result.

There are two kinds of changes. A change that depends on a claim (`begin`, `put_back`, `failed`, ...) is made only
while the claim is valid: a compare-and-swap on state, claim id and attempt, so a notifier that was suspended finds
that it has lost the message, and leaves it. That a message was `sent` is a fact, and is recorded whether or not the
claim is still valid.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from itertools import takewhile

from sqlalchemy import Connection, bindparam, select, update

from stopit_core.cases.event_log import EventLog
from stopit_core.cases.records import (
    NOTICE_KINDS,
    Actor,
    CaseState,
    EventKind,
    MessageRow,
    MessageState,
    Party,
    ReportRow,
)
from stopit_core.cases.rows import message_of, report_of
from stopit_core.cases.schema import messages, reports
from stopit_core.cases.work import Work
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
    """The outbox's operations on the record. Valid as long as its transaction."""

    def __init__(self, connection: Connection, event_log: EventLog) -> None:
        self.work = Work(connection, event_log)
        """The other operations on the record, in the same transaction."""
        self._event_log = event_log

    # -- queries

    def next_due(self) -> float | None:
        """Return when the next message is due, None if none is pending."""
        statement = select(messages.c.due_at).where(messages.c.state == MessageState.PENDING.value)
        return self.work.flushed_connection().execute(statement.order_by(messages.c.due_at).limit(1)).scalar()

    def under_way(self) -> list[tuple[int, int]]:
        """Return the claimed messages that are not finished: the id and the attempt of each."""
        rows = self.work.flushed_connection().execute(_UNDER_WAY)
        return [(row.id, row.attempts) for row in rows]

    def still_under_way(self, attempts: Collection[tuple[int, int]]) -> list[MessageRow]:
        """Return the messages of these attempts (see `under_way`) that are still not finished."""
        rows = self.work.flushed_connection().execute(
            select(messages)
            .where(
                messages.c.id.in_([message_id for message_id, _ in attempts]),
                messages.c.state == MessageState.SENDING.value,
            )
            .order_by(messages.c.id)
        )
        return [message for message in map(message_of, rows) if (message.id, message.attempts) in attempts]

    def last_sent(self) -> MessageRow | None:
        """Return the message that was sent last: its trace shows whether our own mail passes the milter."""
        row = (
            self.work.flushed_connection()
            .execute(
                select(messages)
                .where(messages.c.state == MessageState.SENT.value)
                .order_by(messages.c.sent_at.desc(), messages.c.id.desc())
                .limit(1)
            )
            .first()
        )
        return message_of(row) if row else None

    def reporters(self, case_id: int) -> frozenset[str]:
        """Return the canonical addresses of all reporters of a case, including those of withdrawn reports."""
        rows = self.work.flushed_connection().execute(
            select(reports.c.reporter).where(reports.c.case_id == case_id).distinct()
        )
        return frozenset(address for (address,) in rows if address)

    def reports_on(self, notice: MessageRow) -> list[ReportRow]:
        """Return the reports that caused or joined a notice, the one that caused it first; also withdrawn ones."""
        rows = self.work.flushed_connection().execute(
            select(reports).where(reports.c.notice_id == notice.id).order_by(reports.c.decided_at, reports.c.key)
        )
        return [report_of(row) for row in rows]

    def cause_of(self, notice: MessageRow) -> ReportRow | None:
        """Return the report that caused a notice, withdrawn or not."""
        row = (
            self.work.flushed_connection()
            .execute(
                select(reports)
                .where(reports.c.notice_id == notice.id)
                .order_by(reports.c.decided_at, reports.c.key)
                .limit(1)
            )
            .first()
        )
        return report_of(row) if row else None

    def claim_holds(self, message: MessageRow) -> bool:
        """Return whether the claim in `message` is still valid. The message is locked until the transaction ends."""
        row = (
            self.work.flushed_connection()
            .execute(
                select(messages.c.id)
                .where(
                    messages.c.id == message.id,
                    messages.c.state == MessageState.SENDING.value,
                    messages.c.claimed_by == message.claimed_by,
                    messages.c.attempts == message.attempts,
                )
                .with_for_update()
            )
            .first()
        )
        return row is not None

    # -- changes that depend on a claim

    def claim(self, claim_id: str, now: float) -> MessageRow | None:
        """Claim the next message that is due, and return it in state `sending`; None if nothing is due."""
        rows = self.work.flushed_connection().execute(_DUE, {"now": now, "most": 1}).all()
        return self._claimed(message_of(rows[0]), claim_id, now) if rows else None

    def claim_batch(self, claim_id: str, now: float, most: int, *, alone: bool = True) -> list[MessageRow]:
        """Claim the next message that is due if it is a notice; else claim up to `most` that are due before the next
        notice.

        Without `alone` nothing is claimed if the batch would be one message. A batch of several is marked as begun
        (`data_at`) at once: see `outbox`.
        """
        due = list(map(message_of, self.work.flushed_connection().execute(_DUE, {"now": now, "most": most})))
        batch = list(takewhile(lambda message: message.party is not Party.SENDER, due))
        if len(batch) < 2:
            return [self._claimed(message, claim_id, now) for message in due[:1]] if alone else []
        self.work.flushed_connection().execute(
            update(messages)
            .where(messages.c.id.in_([message.id for message in batch]))
            .values(
                state=MessageState.SENDING.value,
                claimed_by=claim_id,
                claimed_at=now,
                data_at=now,
                error="",
                attempts=messages.c.attempts + 1,
            )
        )
        return [_as_claimed(message, claim_id, now, data_at=now) for message in batch]

    def begin(self, message: MessageRow, now: float) -> bool:
        """Record that DATA is about to be sent. Return False if the claim is no longer valid: then it must not be
        sent."""
        if not self.claim_holds(message):
            return False
        self._set(message, data_at=now)
        return True

    def unanswered(self, message: MessageRow, error: str) -> bool:
        """Record why the MTA, which received the whole message, did not reply; the message stays in `sending`."""
        if not self.claim_holds(message):
            return False
        self._set(message, error=error[:_MAX_ERROR] or "no answer")
        return True

    def put_back(self, message: MessageRow, error: str, again_at: float) -> bool:
        """Record that it was not sent; it is due again at `again_at`."""
        if not self.claim_holds(message):
            return False
        self._set(message, state=MessageState.PENDING.value, due_at=again_at, error=error[:_MAX_ERROR])
        return True

    def failed(self, message: MessageRow, error: str, at: float) -> bool:
        """Record that it can never be sent. The case of a notice goes to staff."""
        return self._end(message, MessageState.FAILED, EventKind.MESSAGE_FAILED, error, at)

    def unclear(self, message: MessageRow, error: str, at: float) -> bool:
        """Record that nobody can tell whether the MTA accepted it; it is not sent again. The case of a notice goes to
        staff."""
        return self._end(message, MessageState.UNCLEAR, EventKind.MESSAGE_UNCLEAR, error, at)

    # -- facts

    def sent(self, message: MessageRow, at: float) -> bool:
        """Record that the MTA accepted it at `at`. Return False if that is recorded already."""
        current = self._event_log.lock(message.case_id)
        state = (
            self.work.flushed_connection()
            .execute(select(messages.c.state).where(messages.c.id == message.id).with_for_update())
            .scalar_one()
        )
        if MessageState(state) in _IS_SENT:
            return False
        self._set(message, state=MessageState.SENT.value, sent_at=at, error="")
        self._write(message, EventKind.MESSAGE_SENT, "", at)
        if message.kind in NOTICE_KINDS and current in _BEFORE_NOTICE:
            self._event_log.change_state(message.case_id, CaseState.NOTIFIED, at, Actor.SYSTEM)
        return True

    def all_sent(self, taken: Sequence[tuple[MessageRow, float]]) -> list[MessageRow]:
        """Record that the MTA accepted each of these at its time; none is a notice. Return those not recorded
        before."""
        for case_id in sorted({message.case_id for message, _ in taken}):
            self._event_log.lock(case_id)
        states = self.work.flushed_connection().execute(
            select(messages.c.id, messages.c.state)
            .where(messages.c.id.in_([message.id for message, _ in taken]))
            .order_by(messages.c.id)
            .with_for_update()
        )
        known = {row.id for row in states if MessageState(row.state) in _IS_SENT}
        fresh = [(message, at) for message, at in taken if message.id not in known]
        if fresh:
            self.work.flushed_connection().execute(
                _MARK_SENT.where(messages.c.id == bindparam("message")),
                [{"message": message.id, "at": at} for message, at in fresh],
            )
        for message, at in fresh:
            self._write(message, EventKind.MESSAGE_SENT, "", at)
        return [message for message, _ in fresh]

    def watch(self, pairs: Collection[Digest], case_id: int, since: float, until: float) -> None:
        """Watch the pairs from the notice on."""
        for pair in pairs:
            self.work.watch(pair, case_id, since, until)

    # -- private

    def _end(self, message: MessageRow, state: MessageState, kind: EventKind, error: str, at: float) -> bool:
        current = self._event_log.lock(message.case_id)
        if not self.claim_holds(message):
            return False
        self._set(message, state=state.value, error=error[:_MAX_ERROR])
        self._write(message, kind, error[:_MAX_ERROR], at)
        if message.kind in NOTICE_KINDS and current in _BEFORE_NOTICE:
            self._event_log.change_state(message.case_id, CaseState.STAFF, at, Actor.SYSTEM)
        return True

    def _claimed(self, message: MessageRow, claim_id: str, now: float) -> MessageRow:
        claimed = _as_claimed(message, claim_id, now, data_at=None)
        self._set(
            message,
            state=MessageState.SENDING.value,
            claimed_by=claim_id,
            claimed_at=now,
            data_at=None,
            error="",
            attempts=claimed.attempts,
        )
        return claimed

    def _write(self, message: MessageRow, kind: EventKind, error: str, at: float) -> None:
        self._event_log.append(
            message.case_id, at, Actor.SYSTEM, kind, ref=message.ref, message=message.kind, error=error
        )

    def _set(self, message: MessageRow, **values: object) -> None:
        self.work.flushed_connection().execute(update(messages).where(messages.c.id == message.id).values(**values))


def _as_claimed(message: MessageRow, claim_id: str, now: float, data_at: float | None) -> MessageRow:
    return replace(
        message,
        state=MessageState.SENDING,
        claimed_by=claim_id,
        claimed_at=now,
        data_at=data_at,
        error="",
        attempts=message.attempts + 1,
    )
