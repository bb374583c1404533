"""What comes back to a message of ours: the reporter's `cancel` and `yes`, the sender's "not me", bounces, the rest.

The token in the reply address says which message is answered; whoever holds it was sent it. A word that changes
something is taken from its addressee: from that account where the answer was submitted with a login, else from
whoever has the token (members also read their mail elsewhere). From another account it is kept, and staff look.
What a program wrote is never answered (RFC 3834).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stopit_core.cases import Actor, Case, CaseState, EventKind, Message, Party, ReportRow, Work
from stopit_core.decision.policy import Decision, Outcome
from stopit_core.mail.answers import Answer, AnswerKind, read_answer
from stopit_core.model import AnswerReport, Digest, Trace
from stopit_core.outgoing.facts import AlertFacts, AlertKind, AnswerEffect, MessageKind
from stopit_notifier.alerts import alert
from stopit_notifier.configuration import NotifierContext
from stopit_notifier.reports.flags import FlagHandler

__all__ = ["AnswerHandler"]

_ACTORS = {Party.REPORTER: Actor.REPORTER, Party.SENDER: Actor.SENDER, Party.STAFF: Actor.STAFF}


class AnswerHandler:
    """Takes answers within one transaction `work`, at one time `now`."""

    def __init__(self, context: NotifierContext, work: Work, flags: FlagHandler, now: float) -> None:
        self._context = context
        self._work = work
        self._flags = flags
        self._now = now
        self.bounced = ""
        """The kind of the message that came back, where the answer taken was a bounce."""

    @staticmethod
    def originals_in_doubt(context: NotifierContext, work: Work, report: AnswerReport) -> list[Digest]:
        """The originals whose traces are needed to take this answer: those that a `yes` decides on."""
        message = work.message_by_ref(report.ref)
        answer = read_answer(report.raw, report.null_sender, context.words)
        if message is None or answer.kind is not AnswerKind.YES:
            return []
        return [row.original for row in _waiting(work.reports_of(message.report_key, message.case_id))]

    def take(self, report: AnswerReport, traces: Mapping[Digest, Sequence[Trace]]) -> tuple[str, list[Decision]]:
        """Take one answer: what kind it was, for the log, and the decisions that a `yes` led to."""
        message = self._work.message_by_ref(report.ref)
        if message is None:
            return "unknown", []
        answer = read_answer(report.raw, report.null_sender, self._context.words)
        case = self._work.case(message.case_id)
        match answer.kind:
            case AnswerKind.BOUNCE:
                self._bounced(case, message, answer)
                return answer.kind.value, []
            case AnswerKind.AUTOMATIC:
                self._note(message, report, answer, Actor.MAIL)
                return answer.kind.value, []
            case _:
                self._note(message, report, answer, _ACTORS[message.party])
        if report.author not in ("", message.recipient):
            self._tell_staff(
                case,
                message,
                AlertKind.REPORTER_DETAILS if message.party is Party.REPORTER else AlertKind.SENDER_ANSWERED,
                answer,
                "(answered from another account)",
            )
            return "other-account", []
        if message.party is Party.REPORTER:
            return answer.kind.value, self._from_reporter(case, message, answer, traces)
        if message.party is Party.SENDER:
            self._from_sender(case, message, answer)
        return answer.kind.value, []

    def _from_reporter(
        self, case: Case, message: Message, answer: Answer, traces: Mapping[Digest, Sequence[Trace]]
    ) -> list[Decision]:
        rows = self._work.reports_of(message.report_key, case.id)
        if not rows:
            return []
        match answer.kind:
            case AnswerKind.CANCEL:
                self._flags.tell(case, rows[0], self._cancel(case, rows))
            case AnswerKind.YES:
                waiting = _waiting(rows)
                if not waiting:
                    self._flags.tell(case, rows[0], AnswerEffect.NOTHING_TO_CONFIRM)
                return [self._flags.agreed(row, traces.get(row.original, [])) for row in waiting]
            case _:
                self._tell_staff(case, message, AlertKind.REPORTER_DETAILS, answer)
                self._flags.tell(case, rows[0], AnswerEffect.DETAILS_KEPT)
        return []

    def _cancel(self, case: Case, rows: Sequence[ReportRow]) -> AnswerEffect:
        standing = [row for row in rows if row.withdrawn_at is None]
        if not standing:
            return AnswerEffect.NOTHING_TO_CANCEL
        in_time = [self._work.withdraw(row, self._now) for row in standing]
        if not all(in_time):
            return AnswerEffect.CANCEL_TOO_LATE
        if any(row.outcome is Outcome.STAFF_REVIEW for row in standing):
            row = standing[0]
            facts = AlertFacts(
                AlertKind.REPORTER_CANCELLED,
                case.number,
                row.reporter,
                row.sender,
                row.reporter_assurance,
                case.sender_assurance,
                row.command,
            )
            self._alert(case, facts)
        return AnswerEffect.CANCELLED

    def _from_sender(self, case: Case, message: Message, answer: Answer) -> None:
        not_me = answer.kind is AnswerKind.NOT_ME
        self._tell_staff(case, message, AlertKind.SENDER_NOT_ME if not_me else AlertKind.SENDER_ANSWERED, answer)
        self._work.set_state(case.id, CaseState.STAFF, self._now, Actor.SENDER)

    def _bounced(self, case: Case, message: Message, answer: Answer) -> None:
        bounce = answer.bounce
        status = bounce.status if bounce else ""
        self._work.note(
            case.id, self._now, Actor.MAIL, EventKind.BOUNCED, ref=message.ref, message=message.kind, status=status
        )
        self._work.mark_bounced(message.id, f"bounced {status}".strip())
        self.bounced = message.kind
        if message.party is Party.SENDER:
            self._tell_staff(case, message, AlertKind.BOUNCED, answer, f"status {status}" if status else "")

    def _note(self, message: Message, report: AnswerReport, answer: Answer, actor: Actor) -> None:
        self._work.note(
            message.case_id,
            self._now,
            actor,
            EventKind.ANSWERED,
            ref=message.ref,
            answer=answer.kind.value,
            queue_id=report.queue_id,
            author=report.author,
            text=answer.text,
        )

    def _tell_staff(self, case: Case, message: Message, kind: AlertKind, answer: Answer, *remarks: str) -> None:
        party = message.party
        facts = AlertFacts(
            kind,
            case.number,
            reporter=message.recipient if party is Party.REPORTER else "",
            sender=message.recipient if party is Party.SENDER else case.sender,
            sender_assurance=case.sender_assurance,
            message=MessageKind(message.kind),
            details=tuple(line for line in (*remarks, *answer.text.splitlines()) if line),
        )
        self._alert(case, facts)

    def _alert(self, case: Case, facts: AlertFacts) -> None:
        context = self._context
        alert(self._work, context.renderer, context.staff_address, case, facts, self._now, observed=False)


def _waiting(rows: Sequence[ReportRow]) -> list[ReportRow]:
    return [row for row in rows if row.outcome is Outcome.WAIT and row.withdrawn_at is None]
