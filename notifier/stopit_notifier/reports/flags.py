"""The decisions of a report and their effects: a case, a row for the report, an event, and the messages to send.

`FlagHandler` calls the pure parts (identify, decide, render) inside a transaction. It reads the earlier reports and
writes the new ones in the same transaction, with the sender locked: two notifiers cannot both find that a sender has
no notice yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stopit_core.cases import Actor, Case, CaseState, EventKind, MessageState, Party, ReportRow, Work
from stopit_core.config import PolicyRules
from stopit_core.decision.identify import Finding, Identification, Passes, identify
from stopit_core.decision.policy import Decision, Outcome, PolicyFacts, Reason, decide
from stopit_core.identity.keys import new_ref
from stopit_core.identity.people import Person
from stopit_core.model import Assurance, Channel, Command, FlagReport, Original, Trace
from stopit_core.outgoing.facts import (
    AcknowledgementFacts,
    AlertFacts,
    AlertKind,
    AnswerEffect,
    MessageKind,
    NoticeFacts,
)
from stopit_core.outgoing.leak_check import Unsafe, check_nothing_of
from stopit_notifier.alerts import alert
from stopit_notifier.configuration import NotifierContext

__all__ = ["FlagHandler"]

DAY = 86400.0
_SAID_ONCE_A_DAY = frozenset({Reason.REPORTER_CAP})
"""Reasons that a flood repeats: the reporter is told once a day."""


class FlagHandler:
    """Decides within one transaction `work`, at one time `now`."""

    def __init__(self, context: NotifierContext, work: Work, now: float, draw: Callable[[], float]) -> None:
        self._context = context
        self._work = work
        self._now = now
        self._draw = draw

    def look_ahead(self, reports: Sequence[tuple[FlagReport, Sequence[Passes]]]) -> None:
        """Lock the senders of these reports and count the earlier reports, once for all that are decided next."""
        rules = self._context.rules
        pairs = {
            (report.reporter, passes.reported_by(report.reporter).sender.address)
            for report, originals in reports
            for passes in originals
        }
        self._work.look_ahead(pairs, self._now, rules.cooldown, _count_limit(rules))

    def flag(self, report: FlagReport, originals: Sequence[Passes]) -> list[Decision]:
        """Decide on each original that a report names, with one acknowledgement and one alert for each case and
        reason."""
        made = []
        told: set[tuple[int, Reason]] = set()
        for index, passes in enumerate(originals):
            known = passes.reported_by(report.reporter)
            decision, case, row = self._record(report, f"{report.id}:{index}", passes.original, known)
            made.append(decision)
            first = (case.id, decision.reason) not in told
            self._follow(case, row, decision, known, tell_staff=first)
            if first:
                told.add((case.id, decision.reason))
                withheld = _reply_was_withheld(report)
                self._acknowledge(case, row, decision, known, withheld=withheld, truncated=report.truncated)
                if report.truncated:
                    self._alert(case, row, known, AlertKind.TRUNCATED, None)
        return made

    def agreed(self, row: ReportRow, traces: Sequence[Trace]) -> Decision:
        """Decide again on a report whose reporter answered `yes` to Stopit's question."""
        known = identify(Original(row.original), traces, row.reporter, self._context.people)
        reporter = Person(row.reporter, row.reporter_assurance)
        decision = self._decide(reporter, row.command, known, observed=row.observed, on_record=row.key, agreed=True)
        self._work.decide_again(row, decision, self._now)
        case = self._work.case(row.case_id)
        self._follow(case, row, decision, known)
        self._acknowledge(case, row, decision, known)
        return decision

    def tell(self, case: Case, row: ReportRow, effect: AnswerEffect, notice_at: float | None = None) -> None:
        """Tell the reporter the effect of an answer; the same effect once a day (RFC 3834 section 2).

        `notice_at`: when a notice leaves that the answer did not call off.
        """
        if self._told_today(case, row, effect.value) and effect is not AnswerEffect.CANCELLED:
            return
        facts = AcknowledgementFacts(effect, case.number, row.command, notice_at)
        self._send_to_reporter(case, row, facts)

    def _record(
        self, report: FlagReport, key: str, original: Original, known: Identification
    ) -> tuple[Decision, Case, ReportRow]:
        reporter = Person(report.reporter, report.reporter_assurance)
        if known.sender.address:
            self._work.lock(known.sender.address)
        decision = self._decide(reporter, report.command, known, observed=report.observed)
        case, new = self._work.case_for(self._case_key(report, original, known), known.sender, self._now)
        # NOT_A_RECIPIENT keeps staff from sending a notice for the report. Where another reason came first, that must
        # not be lost: the report names no sender then.
        hidden = known.finding is Finding.NOT_RECEIVED and decision.reason is not Reason.NOT_A_RECIPIENT
        row = ReportRow(
            key=key,
            case_id=case.id,
            at=report.at,
            queue_id=report.queue_id,
            channel=report.channel,
            command=report.command,
            reporter=report.reporter,
            reporter_assurance=report.reporter_assurance,
            sender="" if hidden else known.sender.address,
            original=original.message,
            message_sent_at=known.sent_at,
            recipients=known.recipients,
            outcome=decision.outcome,
            reason=decision.reason,
            decided_at=self._now,
            notice_id=None,
            withdrawn_at=None,
            observed=report.observed,
        )
        self._work.add_report(row, new)
        return decision, case, row

    def _decide(
        self,
        reporter: Person,
        command: Command,
        known: Identification,
        *,
        observed: bool,
        on_record: str = "",
        agreed: bool = False,
    ) -> Decision:
        """Decide on one original. `on_record` is the key of the report, when the record has it already."""
        rules = self._context.rules
        sender = known.sender.address
        counts = self._work.report_counts(
            reporter.address,
            sender,
            self._now,
            rules.cooldown,
            observed,
            without=on_record,
            enough=_count_limit(rules),
        )
        excluded = self._context.own_addresses
        if not sender.isascii():  # such an address needs SMTPUTF8 (RFC 6531), which Stopit does not use
            excluded = excluded | {sender}
        return decide(
            PolicyFacts(
                now=self._now,
                draw=self._draw(),
                reporter=reporter,
                command=command,
                identification=known,
                report_counts=counts,
                agreed=agreed,
                excluded=excluded,
                restored_at=self._work.restored_at(),
            ),
            rules,
        )

    def _case_key(self, report: FlagReport, original: Original, known: Identification) -> str:
        """Return the key of the case: the sender's if the sender is known for sure, else the message's.

        So a flag of a message with a forged sender adds nothing to that sender's case. Neither does a flag of one's
        own message: a case about its reporter is not theirs to read or to add to.
        """
        sure = known.sender.assurance >= self._context.rules.minimum_assurance
        own = known.sender.address == report.reporter
        if known.finding is Finding.IDENTIFIED and sure and not own:
            return f"sender:{known.sender.address}"
        return f"message:{original.message.hex()}" if original.message else f"report:{report.id}"

    def _follow(
        self, case: Case, row: ReportRow, decision: Decision, known: Identification, *, tell_staff: bool = True
    ) -> None:
        match decision.outcome:
            case Outcome.NOTICE:
                assert decision.notice_at is not None  # noqa: S101  policy.decide gives a NOTICE its time
                self._notice(case, row, known, decision.notice_at)
            case Outcome.RECORD_ONLY if decision.reason in (Reason.NOTICE_PENDING, Reason.NOTICE_SENT):
                self._join(row)
            case Outcome.STAFF_REVIEW if tell_staff:
                self._alert(case, row, known, AlertKind.REVIEW, decision.reason, decision.also)
            case _:
                pass

    def _notice(self, case: Case, row: ReportRow, known: Identification, notice_at: float) -> None:
        renderer = self._context.renderer
        facts = NoticeFacts(case.number, renderer.day(known.sent_at))
        message = renderer.render(facts, recipient=known.sender.address, ref=new_ref(), at=notice_at)
        try:
            check_nothing_of(message, [row.reporter], renderer.blank(facts, notice_at))
        except Unsafe as error:
            self._work.note(case.id, self._now, Actor.SYSTEM, EventKind.MESSAGE_FAILED, error=str(error))
            self._work.set_state(case.id, CaseState.STAFF, self._now)
            self._alert(case, row, known, AlertKind.NOT_SENT, None)
            return
        notice_id = self._work.enqueue(
            message, case.id, Party.SENDER, "notice", notice_at, self._now, observed=row.observed
        )
        self._work.join_notice(row.key, notice_id)

    def _join(self, row: ReportRow) -> None:
        """Join the notice that the sender has, or will have; if it was sent, watch this report's pair too."""
        notice = self._work.current_notice(row.sender, row.observed)
        if notice is None:
            return
        self._work.join_notice(row.key, notice.id)
        if notice.state is MessageState.SENT:
            people = self._context.people
            pair = people.keyring.pair(people.digest(row.sender), people.digest(row.reporter))
            self._work.watch(pair, row.case_id, self._now, self._now + self._context.rules.cooldown)

    def _acknowledge(
        self,
        case: Case,
        row: ReportRow,
        decision: Decision,
        known: Identification,
        *,
        withheld: bool = False,
        truncated: bool = False,
    ) -> None:
        if decision.reason in _SAID_ONCE_A_DAY and self._told_today(case, row, decision.reason.value):
            return
        single = known.finding is Finding.IDENTIFIED and known.recipients == 1
        facts = AcknowledgementFacts(
            decision.reason,
            case.number,
            row.command,
            decision.notice_at,
            single,
            withheld,
            truncated,
            known.finding is Finding.NO_ORIGINAL,
        )
        self._send_to_reporter(case, row, facts)

    def _send_to_reporter(self, case: Case, row: ReportRow, facts: AcknowledgementFacts) -> None:
        """Send to reporters whose identity is verified: else a forged report would make Stopit write to strangers."""
        if row.reporter_assurance < Assurance.VERIFIED or not row.reporter or not row.reporter.isascii():
            return
        message = self._context.renderer.render(facts, recipient=row.reporter, ref=new_ref(), at=self._now)
        report_id = row.key.partition(":")[0]
        self._work.acknowledge(message, case.id, facts.reason.value, self._now, report_id, row.observed)

    def _told_today(self, case: Case, row: ReportRow, about: str) -> bool:
        return self._work.was_written_since(
            case.id, MessageKind.ACKNOWLEDGEMENT, about, row.reporter, self._now - DAY
        )

    def _alert(
        self,
        case: Case,
        row: ReportRow,
        known: Identification,
        kind: AlertKind,
        reason: Reason | None,
        also: Reason | None = None,
    ) -> None:
        facts = AlertFacts(
            kind,
            case.number,
            row.reporter,
            known.sender.address,
            row.reporter_assurance,
            known.sender.assurance,
            row.command,
            reason,
            also=also,
        )
        context = self._context
        alert(
            self._work,
            context.renderer,
            context.staff_address,
            case,
            facts,
            self._now,
            observed=row.observed,
            every_time=reason is Reason.URGENT,
        )


def _count_limit(rules: PolicyRules) -> int:
    """Return the number up to which earlier reports are counted: no rule depends on a higher one."""
    return max(rules.reporter_daily_cap, rules.sender_daily_cap)


def _reply_was_withheld(report: FlagReport) -> bool:
    """Return True if a reply to somebody else was withheld. Mail to the report address alone is no such reply."""
    return report.withheld > 0 and report.channel is not Channel.REPORT_ADDRESS
