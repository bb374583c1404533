"""Answers to Stopit's own messages: the reporter's `cancel` and `yes`, the sender's "not me", bounces and the rest.

The token in the reply address says which message is answered; only its recipient was sent the token. A word that
changes something is accepted from the message's recipient: from that account where the answer was submitted with a
login, else from anyone who has the token (members also read their mail elsewhere). An answer from another account is
recorded, and staff are alerted. An automatic message is never answered (RFC 3834).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from stopit_core.cases import Actor, Case, CaseState, EventKind, MessageRow, MessageState, Party, ReportRow, Work
from stopit_core.decision.policy import Decision, Outcome
from stopit_core.mail.answers import Answer, AnswerKind
from stopit_core.model import AnswerReport, Digest, Trace
from stopit_core.outgoing.facts import AlertFacts, AlertKind, AnswerEffect, MessageKind
from stopit_notifier.alerts import alert
from stopit_notifier.configuration import NotifierContext
from stopit_notifier.reports.flags import FlagHandler

__all__ = ["AnswerHandler", "AnswerResult", "NoEffect", "originals_in_doubt"]

_CAN_BE_CALLED_OFF = (MessageState.PENDING, MessageState.OBSERVED)
_ACTORS = {Party.REPORTER: Actor.REPORTER, Party.SENDER: Actor.SENDER, Party.STAFF: Actor.STAFF}


class NoEffect(StrEnum):
    """The reasons for which an answer has no effect, whatever it says."""

    UNKNOWN = "unknown"
    """The message that it answers is not in the record."""
    OTHER_ACCOUNT = "other-account"
    """It was submitted from another account than the recipient's."""


@dataclass(frozen=True, slots=True)
class AnswerResult:
    """The result of an answer: its kind, the decisions that a `yes` led to, the kind of a message that bounced."""

    kind: AnswerKind | NoEffect
    decisions: Sequence[Decision] = ()
    bounced: str | None = None


def originals_in_doubt(work: Work, report: AnswerReport, answer: Answer) -> list[Digest]:
    """Return the originals whose traces are needed to handle this answer: those that a `yes` decides on."""
    if answer.kind is not AnswerKind.YES:
        return []
    message = work.message_by_ref(report.ref)
    if message is None:
        return []
    return [row.original for row in _waiting(work.reports_of(message.report_key, message.case_id))]


class AnswerHandler:
    """Handles answers within one transaction `work`, at one time `now`."""

    def __init__(self, context: NotifierContext, work: Work, flags: FlagHandler, now: float) -> None:
        self._context = context
        self._work = work
        self._flags = flags
        self._now = now

    def handle(self, report: AnswerReport, answer: Answer, traces: Mapping[Digest, Sequence[Trace]]) -> AnswerResult:
        """Handle one answer. `traces` are those of `originals_in_doubt`."""
        message = self._work.message_by_ref(report.ref)
        if message is None:
            return AnswerResult(NoEffect.UNKNOWN)
        case = self._work.case(message.case_id)
        if answer.kind is AnswerKind.BOUNCE:
            self._bounced(case, message, answer)
            return AnswerResult(answer.kind, bounced=message.kind)
        automatic = answer.kind is AnswerKind.AUTOMATIC
        self._note(message, report, answer, Actor.MAIL if automatic else _ACTORS[message.party])
        if automatic:
            return AnswerResult(answer.kind)
        if report.author not in ("", message.recipient):
            self._tell_staff(
                case,
                message,
                AlertKind.REPORTER_DETAILS if message.party is Party.REPORTER else AlertKind.SENDER_ANSWERED,
                answer,
                "(answered from another account)",
            )
            return AnswerResult(NoEffect.OTHER_ACCOUNT)
        if message.party is Party.REPORTER:
            return AnswerResult(answer.kind, self._from_reporter(case, message, answer, traces))
        if message.party is Party.SENDER:
            self._from_sender(case, message, answer)
        return AnswerResult(answer.kind)

    def _from_reporter(
        self, case: Case, message: MessageRow, answer: Answer, traces: Mapping[Digest, Sequence[Trace]]
    ) -> list[Decision]:
        rows = self._work.reports_of(message.report_key, case.id)
        if not rows:
            return []
        match answer.kind:
            case AnswerKind.CANCEL:
                if not answer.exact:  # it may say more than that, and the reading may be wrong
                    self._tell_staff(case, message, AlertKind.REPORTER_DETAILS, answer, every_time=True)
                self._flags.tell(case, rows[0], self._cancel(case, rows))
            case AnswerKind.YES if waiting := _waiting(rows):
                if not answer.exact:
                    self._tell_staff(case, message, AlertKind.REPORTER_DETAILS, answer, every_time=True)
                return [self._flags.agreed(row, traces.get(row.original, [])) for row in waiting]
            case AnswerKind.YES if answer.exact and all(row.withdrawn_at is None for row in rows):
                self._flags.tell(case, rows[0], AnswerEffect.NOTHING_TO_CONFIRM)
            case _:  # also a `yes` after a `cancel`: staff can send the notice after all
                self._tell_staff(case, message, AlertKind.REPORTER_DETAILS, answer, every_time=True)
                self._flags.tell(case, rows[0], AnswerEffect.DETAILS_KEPT, self._notice_at(rows))
        return []

    def _notice_at(self, rows: Sequence[ReportRow]) -> float | None:
        """Return when the notice leaves that these reports wait for and that can be called off, None if none does."""
        for row in rows:
            if row.withdrawn_at is None and row.notice_id is not None:
                notice = self._work.current_notice(row.sender, row.observed)
                if notice and notice.id == row.notice_id and notice.state in _CAN_BE_CALLED_OFF:
                    return notice.due_at
        return None

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

    def _from_sender(self, case: Case, message: MessageRow, answer: Answer) -> None:
        self._tell_staff(
            case, message, AlertKind.SENDER_NOT_ME if answer.not_me else AlertKind.SENDER_ANSWERED, answer
        )
        self._work.set_state(case.id, CaseState.STAFF, self._now, Actor.SENDER)

    def _bounced(self, case: Case, message: MessageRow, answer: Answer) -> None:
        bounce = answer.bounce
        status = bounce.status if bounce else ""
        self._work.note(
            case.id, self._now, Actor.MAIL, EventKind.BOUNCED, ref=message.ref, message=message.kind, status=status
        )
        self._work.mark_bounced(message.id, f"bounced {status}".strip())
        if message.party is Party.SENDER:
            self._tell_staff(case, message, AlertKind.BOUNCED, answer, f"status {status}" if status else "")

    def _note(self, message: MessageRow, report: AnswerReport, answer: Answer, actor: Actor) -> None:
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

    def _tell_staff(
        self,
        case: Case,
        message: MessageRow,
        kind: AlertKind,
        answer: Answer,
        *remarks: str,
        every_time: bool = False,
    ) -> None:
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
        self._alert(case, facts, every_time=every_time)

    def _alert(self, case: Case, facts: AlertFacts, *, every_time: bool = False) -> None:
        context = self._context
        alert(
            self._work,
            context.renderer,
            context.staff_address,
            case,
            facts,
            self._now,
            observed=False,
            every_time=every_time,
        )


def _waiting(rows: Sequence[ReportRow]) -> list[ReportRow]:
    return [row for row in rows if row.outcome is Outcome.WAIT and row.withdrawn_at is None]
