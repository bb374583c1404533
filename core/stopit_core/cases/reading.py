"""Read-only queries on the record, for stopitctl, for the gauges, and for the ledger's list of watched pairs."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, or_, select

from stopit_core.cases.chain import broken_at
from stopit_core.cases.records import (
    NOTICE_KINDS,
    Actor,
    Case,
    CaseState,
    Event,
    EventKind,
    MessageRow,
    MessageState,
    ReportRow,
    Totals,
    WatchRow,
)
from stopit_core.cases.rows import case_of, event_of, message_of, report_of
from stopit_core.cases.schema import cases, events, messages, reports, taken, watches
from stopit_core.decision.policy import Reason
from stopit_core.model import Digest

__all__ = ["Reading"]

_NOT_SENT_YET = (MessageState.PENDING.value, MessageState.SENDING.value)


@dataclass(frozen=True, slots=True)
class Reading:
    """Queries on the record. Valid as long as its transaction."""

    connection: Connection

    def list_cases(self, state: CaseState | None, limit: int) -> list[Case]:
        """Return the cases, the latest changed first; only those in `state`, if it is given."""
        statement = select(cases).order_by(cases.c.changed_at.desc(), cases.c.id.desc()).limit(limit)
        if state is not None:
            statement = statement.where(cases.c.state == state.value)
        return [case_of(row) for row in self.connection.execute(statement)]

    def case(self, number: str) -> Case | None:
        """Return the case with this number; upper and lower case are equal."""
        row = self.connection.execute(select(cases).where(cases.c.number == number.strip().upper())).first()
        return case_of(row) if row else None

    def reports(self, case: Case) -> list[ReportRow]:
        """Return the reports of a case, the earliest first."""
        rows = self.connection.execute(
            select(reports).where(reports.c.case_id == case.id).order_by(reports.c.at, reports.c.key)
        )
        return [report_of(row) for row in rows]

    def messages(self, case: Case) -> list[MessageRow]:
        """Return the messages that were written for a case."""
        rows = self.connection.execute(select(messages).where(messages.c.case_id == case.id).order_by(messages.c.id))
        return [message_of(row) for row in rows]

    def reports_since(self, since: float) -> list[ReportRow]:
        """Return every report that was decided since then, the earliest first."""
        rows = self.connection.execute(
            select(reports).where(reports.c.decided_at >= since).order_by(reports.c.decided_at, reports.c.key)
        )
        return [report_of(row) for row in rows]

    def observed_since(self, since: float) -> tuple[dict[str, int], int]:
        """Return what was written in observe mode since then: the number of messages of each kind, and the number of
        senders that the notices are for."""
        written = (messages.c.state == MessageState.OBSERVED.value, messages.c.created_at >= since)
        kinds = self.connection.execute(
            select(messages.c.kind, func.count()).where(*written).group_by(messages.c.kind).order_by(messages.c.kind)
        )
        senders = select(func.count(func.distinct(messages.c.recipient))).where(
            *written, messages.c.kind.in_(NOTICE_KINDS)
        )
        return {row.kind: row[1] for row in kinds}, self.connection.execute(senders).scalar_one()

    def events(self, case: Case) -> list[Event]:
        """Return the history of a case from its beginning."""
        rows = self.connection.execute(select(events).where(events.c.case_id == case.id).order_by(events.c.seq))
        return [event_of(row) for row in rows]

    def broken_at(self, case: Case) -> int | None:
        """Return the first line of a case's history that was tampered with, None if the chain holds."""
        return broken_at(case.number, self.events(case))

    def taken_at(self, report_id: str) -> float | None:
        """Return when the report with this id was handled; None if it was not."""
        return self.connection.execute(select(taken.c.at).where(taken.c.report_id == report_id)).scalar()

    def last_event_at(self) -> float:
        """Return when the last line of any history was written (seconds since the epoch), 0.0 if there is none."""
        return self.connection.execute(select(func.max(events.c.at))).scalar() or 0.0

    def watches(self, now: float) -> list[WatchRow]:
        """Return the pairs that are watched now."""
        rows = self.connection.execute(select(watches).where(watches.c.until > now))
        return [WatchRow(Digest(bytes(row.pair)), row.case_id, row.since, row.until, row.contacts) for row in rows]

    def totals(self, now: float) -> Totals:
        """Return the values of the gauges at this time."""
        by_state = dict.fromkeys(CaseState, 0)
        for state, count in self.connection.execute(select(cases.c.state, func.count()).group_by(cases.c.state)):
            by_state[CaseState(state)] = count
        count = select(func.count()).select_from(messages)
        notified = select(func.count(func.distinct(messages.c.recipient))).where(
            messages.c.kind.in_(NOTICE_KINDS), messages.c.state == MessageState.SENT.value
        )
        recurred = select(func.count(func.distinct(reports.c.sender))).where(
            reports.c.reason == Reason.AGAIN_AFTER_NOTICE.value
        )
        return Totals(
            cases=by_state,
            staff_waits=self._staff_waits(now),
            outbox_due=self.connection.execute(
                count.where(messages.c.state.in_(_NOT_SENT_YET), messages.c.due_at <= now)
            ).scalar_one(),
            outbox_put_off=self.connection.execute(
                count.where(
                    messages.c.state == MessageState.PENDING.value, messages.c.due_at > now, messages.c.attempts > 0
                )
            ).scalar_one(),
            senders_notified=self.connection.execute(notified).scalar_one(),
            senders_recurred=self.connection.execute(recurred).scalar_one(),
        )

    def _staff_waits(self, now: float) -> float:
        """Return the longest time in seconds that a case has waited for staff: since it came to them or since their
        last action on it.

        Cases of observe mode do not count: staff were not told.
        """
        touched = (
            select(func.max(events.c.at))
            .where(
                events.c.case_id == cases.c.id,
                or_(events.c.kind == EventKind.STATE.value, events.c.actor == Actor.STAFF.value),
            )
            .scalar_subquery()
        )
        told = select(reports.c.key).where(reports.c.case_id == cases.c.id, ~reports.c.observed).exists()
        since = self.connection.execute(
            select(func.min(func.coalesce(touched, cases.c.opened_at))).where(
                cases.c.state == CaseState.STAFF.value, told
            )
        ).scalar()
        return 0.0 if since is None else max(0.0, now - since)
