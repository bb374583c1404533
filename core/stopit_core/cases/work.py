"""One transaction in which reports are dealt with: what intake reads of the past, and what it writes.

What one report writes, the next one in the same transaction sees. What cannot change while the transaction goes on
(a sender's lock, a case that is held, its notice) is asked for once, so that ten thousand reports of one sender cost
no more for each than one. Rows are kept back, and written together before anybody reads: see `Work.connection`.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from dataclasses import replace

from sqlalchemy import Connection, bindparam, func, insert, select, update

from stopit_core.cases.event_log import EventLog
from stopit_core.cases.records import (
    ALIVE,
    Actor,
    Case,
    CaseState,
    Contact,
    EventKind,
    Message,
    MessageState,
    Party,
    ReportRow,
    next_state,
)
from stopit_core.cases.report_counts import Counts, count_reports
from stopit_core.cases.rows import case_of, message_of, report_of, values_of
from stopit_core.cases.schema import cases, messages, parties, reports, restores, taken, watches
from stopit_core.cases.write_buffer import WriteBuffer, insert_once
from stopit_core.decision.policy import Decision, PriorNotice, ReportCounts
from stopit_core.identity.people import Person
from stopit_core.model import Digest
from stopit_core.outgoing.facts import MessageKind, Outgoing

__all__ = ["NOTICE_KINDS", "Work"]

NOTICE_KINDS = (MessageKind.NOTICE.value, MessageKind.FIRMER_NOTICE.value)
_WILL_LEAVE = frozenset({MessageState.PENDING, MessageState.OBSERVED})
_NOT_LEFT = _WILL_LEAVE | {MessageState.CANCELLED, MessageState.FAILED}
_ARRIVED = (MessageState.SENT.value, MessageState.UNCLEAR.value)
_ALPHABET = "23456789BCDFGHJKLMNPQRSTVWXYZ"
"""No 0, O, 1 or I, because a number is read over the telephone; no vowels, so that it spells nothing."""


_OPEN_CASE = (
    select(cases)
    .where(cases.c.key == bindparam("key"), cases.c.state != CaseState.CLOSED.value)
    .order_by(cases.c.id.desc())
    .limit(1)
    .with_for_update()
)
_LOCK = (
    select(parties.c.address)
    .where(parties.c.address.in_(bindparam("senders", expanding=True)))
    .order_by(parties.c.address)
    .with_for_update()
)
_SAID = (
    select(messages.c.id)
    .where(
        messages.c.case_id == bindparam("case"),
        messages.c.recipient == bindparam("recipient"),
        messages.c.created_at > bindparam("since"),
        messages.c.kind == bindparam("kind"),
        messages.c.about == bindparam("about"),
    )
    .limit(1)
)
_RESTORED = select(func.max(restores.c.at))
_ADD_CASE = insert(cases).returning(cases)
_ADD_MESSAGE = insert(messages).returning(messages.c.id)


class Work:
    """What may be read and written while reports are dealt with. Lives as long as its transaction."""

    def __init__(self, connection: Connection, event_log: EventLog) -> None:
        self._connection = connection
        self._event_log = event_log
        self._buffer = WriteBuffer(connection)
        self._counts: Counts | None = None
        self._foreseen: frozenset[tuple[str, str]] = frozenset()
        self._locked: set[str] = set()
        self._restored_at: float | None = None
        self._open: dict[str, Case] = {}
        self._living: dict[tuple[str, bool], Message] = {}

    @property
    def connection(self) -> Connection:
        """The transaction's connection, on which everything that was added so far can be read."""
        self._buffer.write_down()
        return self._connection

    def write_down(self) -> None:
        """Write the rows that are kept back. The last thing before the commit."""
        self._buffer.write_down()

    # -- what was

    def take(self, report_id: str, now: float) -> bool:
        """Take a report to deal with it; False when that was done before."""
        return report_id in self.take_all([report_id], now)

    def take_all(self, report_ids: Sequence[str], now: float) -> set[str]:
        """Take reports to deal with them; those with which that was not done before."""
        statement = (
            insert_once(taken, self._connection.dialect.name).on_conflict_do_nothing().returning(taken.c.report_id)
        )
        rows = self.connection.execute(statement, [{"report_id": each, "at": now} for each in report_ids])
        return set(rows.scalars())

    def lock(self, sender: str) -> None:
        """Nobody else decides on this sender until the transaction ends."""
        self.lock_all([sender])

    def lock_all(self, senders: Collection[str]) -> None:
        """The same for several, in an order that is the same for everybody: so no two wait for each other."""
        wanted = sorted(set(senders) - self._locked)
        if not wanted:
            return
        statement = insert_once(parties, self._connection.dialect.name).on_conflict_do_nothing()
        self._connection.execute(statement, [{"address": sender} for sender in wanted])
        self._connection.execute(_LOCK, {"senders": wanted}).all()
        self._locked.update(wanted)

    def look_ahead(self, pairs: Collection[tuple[str, str]], now: float, cooldown: float, enough: int) -> None:
        """Reports of these (reporter, sender) will be added, and their histories asked for at this time: lock the
        senders, and count once for all."""
        self.lock_all([sender for _, sender in pairs if sender])
        self._counts = Counts(self.connection, pairs, now, cooldown, enough)
        self._foreseen = frozenset(pairs)

    def history(
        self,
        reporter: str,
        sender: str,
        now: float,
        cooldown: float,
        observed: bool,
        without: str = "",
        enough: int = 1000,
    ) -> ReportCounts:
        """What the record knows of the two (canonical addresses, "" for nobody); `without` is a report's key.

        Reports are counted as far as `enough`: nobody's flood makes the counting long.
        """
        counted = None
        if self._counts is not None and (reporter, sender) in self._foreseen and not without:
            counted = self._counts.of(reporter, sender)
        if counted is None:
            counted = count_reports(self.connection, reporter, sender, now, cooldown, without, enough)
        return ReportCounts(*counted, self._prior_notice(sender, observed))

    def living_notice(self, sender: str, observed: bool) -> Message | None:
        """The latest notice that this sender has or will have; those written down in observe mode, if `observed`."""
        if known := self._living.get((sender, observed)):
            return known
        states = {state.value for state in ALIVE} | ({MessageState.OBSERVED.value} if observed else set())
        row = self._connection.execute(  # notices are never kept back
            select(messages)
            .where(messages.c.recipient == sender, messages.c.kind.in_(NOTICE_KINDS), messages.c.state.in_(states))
            .order_by(messages.c.id.desc())
            .limit(1)
        ).first()
        if row is None:
            return None
        notice = message_of(row)
        if self._event_log.holds(notice.case_id):  # so nobody else sends or cancels it meanwhile
            self._living[sender, observed] = notice
        return notice

    def restored_at(self) -> float:
        """When this record was last brought back from a backup, 0.0 for never. What was before may be forgotten."""
        if self._restored_at is None:
            self._restored_at = self.connection.execute(_RESTORED).scalar() or 0.0
        return self._restored_at

    def reports_of(self, report_id: str, case_id: int) -> list[ReportRow]:
        """What one report put on one case: a row for each original that it named."""
        rows = self.connection.execute(
            select(reports)
            .where(reports.c.case_id == case_id, reports.c.report_id == report_id)
            .order_by(reports.c.key)
            .with_for_update()
        )
        return [report_of(row) for row in rows]

    def case(self, case_id: int) -> Case:
        """The case of this id."""
        return case_of(self.connection.execute(select(cases).where(cases.c.id == case_id)).one())

    def message_by_ref(self, ref: str) -> Message | None:
        """The message of ours that this reference names."""
        row = self.connection.execute(select(messages).where(messages.c.ref == ref)).first()
        return message_of(row) if row else None

    def said_lately(self, case_id: int, kind: MessageKind, about: str, recipient: str, since: float) -> bool:
        """Whether a message of this kind, about the same, went to the recipient for this case since then."""
        about_it = {"case": case_id, "recipient": recipient, "since": since, "kind": kind.value, "about": about}
        return self.connection.execute(_SAID, about_it).first() is not None

    # -- what follows

    def case_for(self, key: str, sender: Person, now: float) -> tuple[Case, bool]:
        """The case that is not closed under this key, or a new one; and whether it is new."""
        if known := self._open.get(key):
            state = self._event_log.hold(known.id)
            if state is not CaseState.CLOSED:
                return replace(known, state=state), False
        row = self._connection.execute(_OPEN_CASE, {"key": key}).first()
        if row:
            self._open[key] = case_of(row)
            return self._open[key], False
        row = self._connection.execute(
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
        """Put a report with its decision on its case: history and state follow."""
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
        current = None if new_case else self._event_log.hold(row.case_id)
        self._decided(row, Decision(row.reason), row.decided_at, current)

    def decide_again(self, row: ReportRow, decision: Decision, now: float) -> None:
        """Put a later decision on a report that is on record."""
        self.connection.execute(
            update(reports)
            .where(reports.c.key == row.key)
            .values(outcome=decision.outcome.value, reason=decision.reason.value, decided_at=now)
        )
        self._decided(row, decision, now, self._event_log.hold(row.case_id))

    def join_notice(self, key: str, notice_id: int) -> None:
        """The report led to this notice, or counts on it."""
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
        """Put a message in the outbox, to leave at `due_at`; in observe mode it is only written down. Its id."""
        values = self._queued(message, case_id, party, about, due_at, now, report_key, observed)
        found: int = self._connection.execute(_ADD_MESSAGE, values).scalar_one()
        if party is Party.SENDER:
            self._living.clear()
        return found

    def acknowledge(
        self, message: Outgoing, case_id: int, about: str, now: float, report_key: str, observed: bool
    ) -> None:
        """Put a message to a reporter in the outbox, to leave at once; together with all others of its kind."""
        self._buffer.add_message(
            self._queued(message, case_id, Party.REPORTER, about, now, now, report_key, observed)
        )

    def withdraw(self, row: ReportRow, now: float) -> bool:
        """The reporter calls a report off. True when its notice, if it has one, has not left.

        The notice is cancelled when no other report counts on it.
        """
        if row.sender:  # or another report would join the notice in the moment in which it is cancelled
            self.lock(row.sender)
        self._event_log.hold(row.case_id)
        self._living.clear()
        notice = None
        if row.notice_id is not None:
            found = self.connection.execute(select(messages).where(messages.c.id == row.notice_id).with_for_update())
            notice = message_of(found.one())
            if notice.state not in _NOT_LEFT:
                return False
        self.connection.execute(update(reports).where(reports.c.key == row.key).values(withdrawn_at=now))
        self._event_log.append(row.case_id, now, Actor.REPORTER, EventKind.WITHDRAWN, report=row.key)
        if notice is not None and notice.state in _WILL_LEAVE and not self._counted_on(notice.id):
            self.connection.execute(
                update(messages).where(messages.c.id == notice.id).values(state=MessageState.CANCELLED.value)
            )
            self._event_log.append(row.case_id, now, Actor.SYSTEM, EventKind.MESSAGE_CANCELLED, ref=notice.ref)
            if self._event_log.hold(row.case_id) is CaseState.NOTICE_PENDING:
                self.set_state(row.case_id, CaseState.RECORDED, now)
        return True

    def watch(self, pair: Digest, case_id: int, since: float, until: float) -> None:
        """Watch a pair from the notice on; the later end holds."""
        self._buffer.watch(pair, case_id, since, until)

    def contact(self, pair: Digest, at: float, queue_id: str) -> Contact | None:
        """A message passed between a watched pair at `at`: count it on its case. None when it is of no watch."""
        row = self.connection.execute(select(watches).where(watches.c.pair == bytes(pair)).with_for_update()).first()
        if row is None or not row.since < at <= row.until:
            return None
        self.connection.execute(
            update(watches).where(watches.c.pair == bytes(pair)).values(contacts=row.contacts + 1)
        )
        self._event_log.append(row.case_id, at, Actor.SENDER, EventKind.CONTACT, queue_id=queue_id)
        return Contact(row.case_id, row.contacts + 1)

    def note(self, case_id: int, now: float, actor: Actor, kind: EventKind, **detail: str | float | None) -> None:
        """Add a line to a case's history."""
        self._event_log.append(case_id, now, actor, kind, **detail)

    def set_state(self, case_id: int, state: CaseState, now: float, actor: Actor = Actor.SYSTEM) -> None:
        """Put a case in another state."""
        self._event_log.change_state(case_id, state, now, actor)

    def mark_bounced(self, message_id: int, error: str) -> None:
        """A message of ours came back."""
        self.connection.execute(
            update(messages)
            .where(messages.c.id == message_id, messages.c.state.in_(_ARRIVED))
            .values(state=MessageState.BOUNCED.value, error=error[:500])
        )

    # -- inside

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
        """A message's row, which is on the case's history."""
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

    def _prior_notice(self, sender: str, observed: bool) -> PriorNotice | None:
        notice = self.living_notice(sender, observed) if sender else None
        if notice is None:
            return None
        match notice.state:
            case MessageState.SENT:
                sent_at = notice.sent_at
            case MessageState.UNCLEAR:
                sent_at = notice.claimed_at
            case MessageState.OBSERVED:
                sent_at = notice.due_at
            case _:
                sent_at = None
        return PriorNotice(notice.created_at, sent_at)

    def _counted_on(self, notice_id: int) -> bool:
        statement = select(reports.c.key).where(reports.c.notice_id == notice_id, reports.c.withdrawn_at.is_(None))
        return self.connection.execute(statement.limit(1)).first() is not None


def _number() -> str:
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"
