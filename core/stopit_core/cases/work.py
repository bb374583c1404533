"""One transaction in which reports are handled: everything that a report changes in the record.

Each report sees the changes of the reports before it in the same transaction. Values that cannot change during the
transaction (a sender's lock, a locked case, its notice) are read once, so ten thousand reports of one sender cost no
more for each than one report.
"""

from __future__ import annotations

import secrets
from dataclasses import replace

from sqlalchemy import Connection, bindparam, insert, select, update

from stopit_core.cases.event_log import EventLog
from stopit_core.cases.prior import PriorRecord
from stopit_core.cases.records import (
    Actor,
    Case,
    CaseState,
    Contact,
    EventKind,
    MessageState,
    Party,
    ReportRow,
    next_state,
)
from stopit_core.cases.rows import case_of, message_of, values_of
from stopit_core.cases.schema import cases, messages, reports, watches
from stopit_core.decision.policy import Decision
from stopit_core.identity.people import Person
from stopit_core.model import Digest
from stopit_core.outgoing.facts import Outgoing

__all__ = ["Work"]

_WILL_LEAVE = frozenset({MessageState.PENDING, MessageState.OBSERVED})
_NOT_LEFT = _WILL_LEAVE | {MessageState.CANCELLED, MessageState.FAILED}
_ARRIVED = (MessageState.SENT.value, MessageState.UNCLEAR.value)
_ALPHABET = "23456789BCDFGHJKLMNPQRSTVWXYZ"
"""No 0, O, 1 or I, because a number is read over the telephone; no vowels, so that it spells no word."""

_OPEN_CASE = (
    select(cases)
    .where(cases.c.key == bindparam("key"), cases.c.state != CaseState.CLOSED.value)
    .order_by(cases.c.id.desc())
    .limit(1)
    .with_for_update()
)
_ADD_CASE = insert(cases).returning(cases)
_ADD_MESSAGE = insert(messages).returning(messages.c.id)


class Work(PriorRecord):
    """Reads and changes the record while reports are handled. Valid as long as its transaction."""

    def __init__(self, connection: Connection, event_log: EventLog) -> None:
        super().__init__(connection, event_log)
        self._open: dict[str, Case] = {}

    def case_for(self, key: str, sender: Person, now: float) -> tuple[Case, bool]:
        """Return the open case with this key, or a new one; and whether it is new."""
        if known := self._open.get(key):
            state = self._event_log.lock(known.id)
            if state is not CaseState.CLOSED:
                return replace(known, state=state), False
        row = self.unflushed_connection.execute(_OPEN_CASE, {"key": key}).first()
        if row:
            self._open[key] = case_of(row)
            return self._open[key], False
        row = self.unflushed_connection.execute(
            _ADD_CASE,
            {
                "number": _number(),
                "key": key,
                "state": CaseState.RECORDED.value,
                "sender": sender.address,
                "sender_assurance": int(sender.assurance),
                "opened_at": now,
                "changed_at": now,
            },
        ).one()
        case = self._open[key] = case_of(row)
        self._event_log.begin(case.id, case.number, case.state)
        self._event_log.append(case.id, now, Actor.SYSTEM, EventKind.OPENED)
        return case, True

    def add_report(self, row: ReportRow, new_case: bool) -> None:
        """Add a report with its decision to its case, and update its history and state."""
        self._buffer.add_report(row.key, values_of(row))
        if self._counts is not None:
            self._counts.add(row)
        self._event_log.append(
            row.case_id,
            row.decided_at,
            Actor.REPORTER,
            EventKind.REPORTED,
            report=row.key,
            reporter=row.reporter,
            assurance=row.reporter_assurance.name.lower(),
            channel=row.channel.value,
            command=row.command.value,
            queue_id=row.queue_id,
        )
        current = None if new_case else self._event_log.lock(row.case_id)
        self._decided(row, Decision(row.reason), row.decided_at, current)

    def decide_again(self, row: ReportRow, decision: Decision, now: float) -> None:
        """Replace the decision on a report that is on record."""
        self.flushed_connection().execute(
            update(reports)
            .where(reports.c.key == row.key)
            .values(outcome=decision.outcome.value, reason=decision.reason.value, decided_at=now)
        )
        self._decided(row, decision, now, self._event_log.lock(row.case_id))

    def join_notice(self, key: str, notice_id: int) -> None:
        """Record that the report caused or joined this notice."""
        self._buffer.join_notice(key, notice_id)

    def enqueue(
        self,
        message: Outgoing,
        case_id: int,
        party: Party,
        about: str,
        due_at: float,
        now: float,
        report_key: str = "",
        observed: bool = False,
    ) -> int:
        """Put a message in the outbox, to be sent at `due_at`; in observe mode it is only recorded. Return its id."""
        values = self._queued(message, case_id, party, about, due_at, now, report_key, observed)
        found: int = self.unflushed_connection.execute(_ADD_MESSAGE, values).scalar_one()
        if party is Party.SENDER:
            self._current_notices.clear()
        return found

    def acknowledge(
        self, message: Outgoing, case_id: int, about: str, now: float, report_key: str, observed: bool
    ) -> None:
        """Put a message to a reporter in the outbox, to be sent at once. It is buffered."""
        self._buffer.add_message(
            self._queued(message, case_id, Party.REPORTER, about, now, now, report_key, observed)
        )

    def withdraw(self, row: ReportRow, now: float) -> bool:
        """Withdraw a report for its reporter. Return True if its notice, if it has one, was not sent.

        The notice is cancelled if no other report depends on it.
        """
        if row.sender:  # or another report could join the notice while it is cancelled
            self.lock(row.sender)
        self._event_log.lock(row.case_id)
        self._current_notices.clear()
        notice = None
        if row.notice_id is not None:
            found = self.flushed_connection().execute(
                select(messages).where(messages.c.id == row.notice_id).with_for_update()
            )
            notice = message_of(found.one())
            if notice.state not in _NOT_LEFT:
                return False
        self.flushed_connection().execute(update(reports).where(reports.c.key == row.key).values(withdrawn_at=now))
        self._event_log.append(row.case_id, now, Actor.REPORTER, EventKind.WITHDRAWN, report=row.key)
        if notice is not None and notice.state in _WILL_LEAVE and not self._counted_on(notice.id):
            self.flushed_connection().execute(
                update(messages).where(messages.c.id == notice.id).values(state=MessageState.CANCELLED.value)
            )
            self._event_log.append(row.case_id, now, Actor.SYSTEM, EventKind.MESSAGE_CANCELLED, ref=notice.ref)
            if self._event_log.lock(row.case_id) is CaseState.NOTICE_PENDING:
                self.set_state(row.case_id, CaseState.RECORDED, now)
        return True

    def watch(self, pair: Digest, case_id: int, since: float, until: float) -> None:
        """Watch a pair from the notice on; if it is watched already, the later end counts."""
        self._buffer.watch(pair, case_id, since, until)

    def contact(self, pair: Digest, at: float, queue_id: str) -> Contact | None:
        """Count a message that passed between a watched pair at `at` on its case. Return None if the pair is not
        watched then."""
        row = (
            self.flushed_connection()
            .execute(select(watches).where(watches.c.pair == bytes(pair)).with_for_update())
            .first()
        )
        if row is None or not row.since < at <= row.until:
            return None
        self.flushed_connection().execute(
            update(watches).where(watches.c.pair == bytes(pair)).values(contacts=row.contacts + 1)
        )
        self._event_log.append(row.case_id, at, Actor.SENDER, EventKind.CONTACT, queue_id=queue_id)
        return Contact(row.case_id, row.contacts + 1)

    def note(self, case_id: int, now: float, actor: Actor, kind: EventKind, **detail: str | float | None) -> None:
        """Add a line to a case's history."""
        self._event_log.append(case_id, now, actor, kind, **detail)

    def set_state(self, case_id: int, state: CaseState, now: float, actor: Actor = Actor.SYSTEM) -> None:
        """Change the state of a case."""
        self._event_log.change_state(case_id, state, now, actor)

    def mark_bounced(self, message_id: int, error: str) -> None:
        """Record that an outgoing message bounced."""
        self.flushed_connection().execute(
            update(messages)
            .where(messages.c.id == message_id, messages.c.state.in_(_ARRIVED))
            .values(state=MessageState.BOUNCED.value, error=error[:500])
        )

    # -- private

    def _queued(
        self,
        message: Outgoing,
        case_id: int,
        party: Party,
        about: str,
        due_at: float,
        now: float,
        report_key: str,
        observed: bool,
    ) -> dict[str, object]:
        """Return the row of a message, and add it to the case's history."""
        state = MessageState.OBSERVED if observed else MessageState.PENDING
        self._event_log.append(
            case_id,
            now,
            Actor.SYSTEM,
            EventKind.MESSAGE_QUEUED,
            ref=message.ref,
            message=message.kind.value,
            about=about,
            due_at=due_at,
            state=state.value,
        )
        return {
            "ref": message.ref,
            "case_id": case_id,
            "kind": message.kind.value,
            "party": party.value,
            "about": about,
            "recipient": message.recipient,
            "envelope_from": message.envelope_from,
            "message_id": message.message_id,
            "data": message.data,
            "state": state.value,
            "created_at": now,
            "due_at": due_at,
            "attempts": 0,
            "claimed_by": "",
            "claimed_at": None,
            "sent_at": None,
            "error": "",
            "report_key": report_key,
        }

    def _decided(self, row: ReportRow, decision: Decision, now: float, current: CaseState | None) -> None:
        self._event_log.append(
            row.case_id,
            now,
            Actor.SYSTEM,
            EventKind.DECIDED,
            report=row.key,
            outcome=decision.outcome.value,
            reason=decision.reason.value,
        )
        self.set_state(row.case_id, next_state(current, decision.outcome), now)

    def _counted_on(self, notice_id: int) -> bool:
        statement = select(reports.c.key).where(reports.c.notice_id == notice_id, reports.c.withdrawn_at.is_(None))
        return self.flushed_connection().execute(statement.limit(1)).first() is not None


def _number() -> str:
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"
