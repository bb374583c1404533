"""Queries on the record for decisions: earlier reports, earlier notices, earlier messages.

A report that was added in the same transaction is found too. Values that cannot change during the transaction (the
notice of a locked case) are read once.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, bindparam, func, select

from stopit_core.cases.event_log import EventLog
from stopit_core.cases.records import ALIVE, NOTICE_KINDS, Case, MessageRow, MessageState, ReportRow
from stopit_core.cases.report_counts import Counts, count_reports
from stopit_core.cases.rows import case_of, message_of, report_of
from stopit_core.cases.schema import cases, messages, reports, restores
from stopit_core.cases.transaction import CaseTransaction
from stopit_core.decision.policy import PriorNotice, ReportCounts
from stopit_core.outgoing.facts import MessageKind

__all__ = ["PriorRecord"]

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


class PriorRecord(CaseTransaction):
    """Queries on the record before a report is decided, in one transaction."""

    def __init__(self, connection: Connection, event_log: EventLog) -> None:
        super().__init__(connection, event_log)
        self._counts: Counts | None = None
        self._counted_pairs: frozenset[tuple[str, str]] = frozenset()
        self._restored_at: float | None = None
        self._current_notices: dict[tuple[str, bool], MessageRow] = {}

    def look_ahead(self, pairs: Collection[tuple[str, str]], now: float, cooldown: float, enough: int) -> None:
        """Prepare for reports of these (reporter, sender) pairs, which are decided at this time: lock the
        senders, and count once for all."""
        self.lock_all([sender for _, sender in pairs if sender])
        self._counts = Counts(self.flushed_connection(), pairs, now, cooldown, enough)
        self._counted_pairs = frozenset(pairs)

    def report_counts(
        self,
        reporter: str,
        sender: str,
        now: float,
        cooldown: float,
        observed: bool,
        without: str = "",
        enough: int = 1000,
    ) -> ReportCounts:
        """Return the counts of earlier reports by and about the two (canonical addresses, "" for nobody), and the
        latest notice. `without` is the key of a report to leave out.

        Counting stops at `enough`, so a flood of reports does not make it slow.
        """
        counted = None
        if self._counts is not None and (reporter, sender) in self._counted_pairs and not without:
            counted = self._counts.of(reporter, sender)
        if counted is None:
            counted = count_reports(self.flushed_connection(), reporter, sender, now, cooldown, without, enough)
        return ReportCounts(*counted, self._prior_notice(sender, observed))

    def current_notice(self, sender: str, observed: bool) -> MessageRow | None:
        """Return the latest notice that this sender has or will get; with `observed` also those of observe mode."""
        if known := self._current_notices.get((sender, observed)):
            return known
        states = {state.value for state in ALIVE} | ({MessageState.OBSERVED.value} if observed else set())
        row = self.unflushed_connection.execute(  # notices are never buffered
            select(messages)
            .where(messages.c.recipient == sender, messages.c.kind.in_(NOTICE_KINDS), messages.c.state.in_(states))
            .order_by(messages.c.id.desc())
            .limit(1)
        ).first()
        if row is None:
            return None
        notice = message_of(row)
        if self._event_log.has_locked(notice.case_id):  # the case is locked, so no other process sends or cancels it
            self._current_notices[sender, observed] = notice
        return notice

    def restored_at(self) -> float:
        """Return when this record was last restored from a backup, 0.0 for never. Earlier events may be missing."""
        if self._restored_at is None:
            self._restored_at = self.flushed_connection().execute(_RESTORED).scalar() or 0.0
        return self._restored_at

    def reports_of(self, report_id: str, case_id: int) -> list[ReportRow]:
        """Return the rows of one report on one case: one for each original that it named."""
        rows = self.flushed_connection().execute(
            select(reports)
            .where(reports.c.case_id == case_id, reports.c.report_id == report_id)
            .order_by(reports.c.key)
            .with_for_update()
        )
        return [report_of(row) for row in rows]

    def case(self, case_id: int) -> Case:
        """Return the case with this id."""
        return case_of(self.flushed_connection().execute(select(cases).where(cases.c.id == case_id)).one())

    def message_by_ref(self, ref: str) -> MessageRow | None:
        """Return the outgoing message with this reference."""
        row = self.flushed_connection().execute(select(messages).where(messages.c.ref == ref)).first()
        return message_of(row) if row else None

    def was_written_since(self, case_id: int, kind: MessageKind, about: str, recipient: str, since: float) -> bool:
        """Return whether a message of this kind, about the same, was written to the recipient for this case since
        then."""
        parameters = {"case": case_id, "recipient": recipient, "since": since, "kind": kind.value, "about": about}
        return self.flushed_connection().execute(_SAID, parameters).first() is not None

    def _prior_notice(self, sender: str, observed: bool) -> PriorNotice | None:
        notice = self.current_notice(sender, observed) if sender else None
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
