"""The outbox's side of the record: which message is due, who sends it, and what became of it.

Every change is a compare-and-swap on (state, claimed_by): a notifier that stalled past its claim and wakes up
finds that the message is no longer its own, and leaves it.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from stopit_core.cases import journal
from stopit_core.cases.records import Actor, CaseState, EventKind, Message, MessageState, ReportRow
from stopit_core.cases.rows import message_of, report_of
from stopit_core.cases.schema import messages, reports
from stopit_core.cases.work import NOTICE_KINDS, Work
from stopit_core.model import Digest

__all__ = ["Sending"]


@dataclass(frozen=True, slots=True)
class Sending:
    """What the outbox may do. Lives as long as its transaction."""

    connection: Connection

    def claim(self, owner: str, now: float) -> Message | None:
        """The next message that is due, now `sending` and this owner's; None when nothing is due."""
        row = self.connection.execute(
            select(messages)
            .where(messages.c.state == MessageState.PENDING.value, messages.c.due_at <= now)
            .order_by(messages.c.due_at, messages.c.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        ).first()
        if row is None:
            return None
        changed = {"state": MessageState.SENDING.value, "claimed_by": owner, "claimed_at": now}
        changed["attempts"] = row.attempts + 1
        self.connection.execute(update(messages).where(messages.c.id == row.id).values(changed))
        return message_of(self.connection.execute(select(messages).where(messages.c.id == row.id)).one())

    def holds(self, message: Message) -> bool:
        """Whether the claim in `message` still stands."""
        return self._held(message) is not None

    def interrupted(self, before: float) -> list[Message]:
        """Messages that somebody began to send before then, and never finished."""
        rows = self.connection.execute(
            select(messages)
            .where(messages.c.state == MessageState.SENDING.value, messages.c.claimed_at < before)
            .order_by(messages.c.id)
        )
        return [message_of(row) for row in rows]

    def lately_sent(self, limit: int) -> list[Message]:
        """The messages sent last, the latest first: their traces show whether our own mail passes the milter."""
        rows = self.connection.execute(
            select(messages)
            .where(messages.c.state == MessageState.SENT.value)
            .order_by(messages.c.sent_at.desc())
            .limit(limit)
        )
        return [message_of(row) for row in rows]

    def sent(self, message: Message, at: float) -> bool:
        """The MTA has it. False when the claim no longer stands."""
        if not self._move(message, MessageState.SENT, EventKind.MESSAGE_SENT, at, sent_at=at, error=""):
            return False
        if message.kind in NOTICE_KINDS:
            case = Work(self.connection).case(message.case_id)
            if case.state in (CaseState.NOTICE_PENDING, CaseState.WAITING, CaseState.RECORDED):
                journal.change_state(self.connection, message.case_id, CaseState.NOTIFIED, at, Actor.SYSTEM)
        return True

    def deferred(self, message: Message, error: str, again_at: float) -> bool:
        """The MTA puts it off: due again at `again_at`."""
        if self._held(message) is None:
            return False
        self._set(message, state=MessageState.PENDING.value, due_at=again_at, error=error[:500], claimed_by="")
        return True

    def failed(self, message: Message, error: str, at: float) -> bool:
        """It cannot be sent, ever."""
        return self._move(message, MessageState.FAILED, EventKind.MESSAGE_FAILED, at, error=error[:500])

    def unclear(self, message: Message, at: float) -> bool:
        """Nobody can tell whether the MTA took it; it is not sent again."""
        return self._move(message, MessageState.UNCLEAR, EventKind.MESSAGE_UNCLEAR, at, error="crash while sending")

    def counting_on(self, notice: Message) -> list[ReportRow]:
        """The reports that led to a notice or joined it, without those called off."""
        rows = self.connection.execute(
            select(reports).where(reports.c.notice_id == notice.id, reports.c.withdrawn_at.is_(None))
        )
        return [report_of(row) for row in rows]

    def watch(self, pair: Digest, case_id: int, since: float, until: float) -> None:
        """Watch a pair from the notice on."""
        Work(self.connection).watch(pair, case_id, since, until)

    def _held(self, message: Message) -> Message | None:
        row = self.connection.execute(
            select(messages)
            .where(
                messages.c.id == message.id, messages.c.state == MessageState.SENDING.value,
                messages.c.claimed_by == message.claimed_by, messages.c.attempts == message.attempts,
            )
            .with_for_update()
        ).first()  # fmt: skip
        return message_of(row) if row else None

    def _move(self, message: Message, state: MessageState, kind: EventKind, at: float, **values: object) -> bool:
        if self._held(message) is None:
            return False
        self._set(message, state=state.value, **values)
        journal.append(
            self.connection, message.case_id, at, Actor.SYSTEM, kind, ref=message.ref, message=message.kind,
            error=str(values.get("error", "")),
        )  # fmt: skip
        return True

    def _set(self, message: Message, **values: object) -> None:
        self.connection.execute(update(messages).where(messages.c.id == message.id).values(**values))
