"""The decision on a report, as one pure function: no I/O, no clock and no random numbers of its own.

The policy is a table, and `decide` goes through it row by row: the first row that holds decides. Every outcome has a
reason from one enum. The reason is on the case, in the metrics, and in plain words in the acknowledgement.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from stopit_core.config import PolicyRules, SingleRecipient
from stopit_core.decision.identify import Finding, Identification
from stopit_core.identity.people import Person
from stopit_core.model import Assurance, Command

__all__ = ["Decision", "Outcome", "PolicyFacts", "PriorNotice", "Reason", "ReportCounts", "decide", "pairs"]


class Outcome(StrEnum):
    """The action that follows a report."""

    REJECT = "reject"
    STAFF_REVIEW = "staff-review"
    RECORD_ONLY = "record-only"
    WAIT = "wait"
    NOTICE = "notice"


class Reason(StrEnum):
    """The reason of a decision. Each belongs to one outcome (`Reason.outcome`)."""

    NO_ORIGINAL = "no-original"
    OWN_MESSAGE = "own-message"
    SERVICE_MESSAGE = "service-message"
    REPORTER_NOT_VERIFIED = "reporter-not-verified"
    NO_TRACE = "no-trace"
    AMBIGUOUS = "ambiguous"
    NOT_A_RECIPIENT = "not-a-recipient"
    SENDER_NOT_SURE = "sender-not-sure"
    SENDER_EXCLUDED = "sender-excluded"
    REPORTER_CAP = "reporter-cap"
    SENDER_CAP = "sender-cap"
    MUTUAL = "mutual"
    URGENT = "urgent"
    AGAIN_AFTER_NOTICE = "again-after-notice"
    SINGLE_RECIPIENT_REVIEW = "single-recipient-review"
    RESTORED = "restored"
    RECORD_ASKED = "record-asked"
    NOTICE_PENDING = "notice-pending"
    NOTICE_SENT = "notice-sent"
    SINGLE_RECIPIENT_ASK = "single-recipient-ask"
    NOTICE_DUE = "notice-due"
    REPORTER_AGREED = "reporter-agreed"

    @property
    def outcome(self) -> Outcome:
        """Return the outcome that this is a reason for."""
        return _OUTCOMES[self]


_OUTCOMES = {
    Reason.NO_ORIGINAL: Outcome.REJECT,
    Reason.OWN_MESSAGE: Outcome.REJECT,
    Reason.SERVICE_MESSAGE: Outcome.REJECT,
    Reason.REPORTER_NOT_VERIFIED: Outcome.STAFF_REVIEW,
    Reason.NO_TRACE: Outcome.STAFF_REVIEW,
    Reason.AMBIGUOUS: Outcome.STAFF_REVIEW,
    Reason.NOT_A_RECIPIENT: Outcome.STAFF_REVIEW,
    Reason.SENDER_NOT_SURE: Outcome.STAFF_REVIEW,
    Reason.SENDER_EXCLUDED: Outcome.STAFF_REVIEW,
    Reason.REPORTER_CAP: Outcome.STAFF_REVIEW,
    Reason.SENDER_CAP: Outcome.STAFF_REVIEW,
    Reason.MUTUAL: Outcome.STAFF_REVIEW,
    Reason.URGENT: Outcome.STAFF_REVIEW,
    Reason.AGAIN_AFTER_NOTICE: Outcome.STAFF_REVIEW,
    Reason.SINGLE_RECIPIENT_REVIEW: Outcome.STAFF_REVIEW,
    Reason.RESTORED: Outcome.STAFF_REVIEW,
    Reason.RECORD_ASKED: Outcome.RECORD_ONLY,
    Reason.NOTICE_PENDING: Outcome.RECORD_ONLY,
    Reason.NOTICE_SENT: Outcome.RECORD_ONLY,
    Reason.SINGLE_RECIPIENT_ASK: Outcome.WAIT,
    Reason.NOTICE_DUE: Outcome.NOTICE,
    Reason.REPORTER_AGREED: Outcome.NOTICE,
}


def pairs() -> Iterator[tuple[str, str]]:
    """Yield every possible (outcome, reason), as the metrics label them."""
    return ((outcome.value, reason.value) for reason, outcome in _OUTCOMES.items())


@dataclass(frozen=True, slots=True)
class PriorNotice:
    """The latest notice to this sender. `sent_at` is None while it waits; `decided_at` is when it was decided."""

    decided_at: float
    sent_at: float | None


@dataclass(frozen=True, slots=True)
class ReportCounts:
    """Counts from the case record, of the last 24 hours without the current report, and the latest notice.

    `sender_reported_reporter`: the sender flagged mail of this reporter within the cooldown.
    """

    reports_by_reporter: int = 0
    reports_about_sender: int = 0
    sender_reported_reporter: bool = False
    notice: PriorNotice | None = None


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """Everything that a decision depends on. `draw` in [0, 1) places the notice within `policy.notice_delay`.

    `agreed`: the reporter said yes where Stopit asked. `excluded`: addresses of this service, which never get a
    notice, in addition to `policy.exclude`. `restored_at`: when the case record was last restored from a backup, 0.0
    for never.
    """

    now: float
    draw: float
    reporter: Person
    command: Command
    identification: Identification
    report_counts: ReportCounts = ReportCounts()
    agreed: bool = False
    excluded: frozenset[str] = frozenset()
    restored_at: float = 0.0

    @property
    def single_recipient(self) -> bool:
        """Return whether the sender can guess the reporter, because nobody else received the message."""
        return self.identification.finding is Finding.IDENTIFIED and self.identification.recipients == 1


@dataclass(frozen=True, slots=True)
class Decision:
    """An outcome with its reason. `notice_at`: when the notice leaves (seconds since the epoch), else None.

    `also`: for URGENT, the reason that would have kept a notice back without it, None if there is none.
    """

    reason: Reason
    notice_at: float | None = None
    also: Reason | None = None

    @property
    def outcome(self) -> Outcome:
        """Return the outcome that the reason belongs to."""
        return self.reason.outcome


def decide(facts: PolicyFacts, rules: PolicyRules) -> Decision:
    """Decide on one report: the first row of the table that holds."""
    if facts.command is Command.URGENT:
        return Decision(Reason.URGENT, also=_reject(facts) or _staff_review(facts, rules))
    reason = (
        _reject(facts)
        or _staff_review(facts, rules)
        or _record_only(facts, rules)
        or _wait(facts, rules)
        or _restored(facts)
        or (Reason.REPORTER_AGREED if facts.agreed else Reason.NOTICE_DUE)
    )
    if reason.outcome is not Outcome.NOTICE:
        return Decision(reason)
    shortest, longest = rules.notice_delay
    return Decision(reason, facts.now + shortest + facts.draw * (longest - shortest))


def _reject(facts: PolicyFacts) -> Reason | None:
    sender = facts.identification.sender.address
    if facts.identification.finding is Finding.NO_ORIGINAL:
        return Reason.NO_ORIGINAL
    if sender and sender == facts.reporter.address:
        return Reason.OWN_MESSAGE
    if facts.identification.finding is Finding.OWN_SERVICE:
        return Reason.SERVICE_MESSAGE
    return None


def _staff_review(facts: PolicyFacts, rules: PolicyRules) -> Reason | None:
    known = facts.identification
    counts = facts.report_counts
    rows = (
        (facts.reporter.assurance < Assurance.VERIFIED, Reason.REPORTER_NOT_VERIFIED),
        (known.finding is Finding.NO_TRACE, Reason.NO_TRACE),
        (known.finding is Finding.AMBIGUOUS, Reason.AMBIGUOUS),
        (known.finding is not Finding.IDENTIFIED, Reason.NOT_A_RECIPIENT),
        (known.sender.assurance < rules.minimum_assurance, Reason.SENDER_NOT_SURE),
        (known.sender.address in facts.excluded.union(rules.exclude), Reason.SENDER_EXCLUDED),
        (counts.reports_by_reporter >= rules.reporter_daily_cap, Reason.REPORTER_CAP),
        (counts.reports_about_sender >= rules.sender_daily_cap, Reason.SENDER_CAP),
        (counts.sender_reported_reporter, Reason.MUTUAL),
        (_again_after_notice(facts, rules), Reason.AGAIN_AFTER_NOTICE),
    )
    return next((reason for holds, reason in rows if holds), None)


def _record_only(facts: PolicyFacts, rules: PolicyRules) -> Reason | None:
    if facts.command is Command.RECORD:
        return Reason.RECORD_ASKED
    notice = _notice_in_force(facts, rules)
    if notice is None:
        return None
    return Reason.NOTICE_PENDING if notice.sent_at is None else Reason.NOTICE_SENT


def _wait(facts: PolicyFacts, rules: PolicyRules) -> Reason | None:
    if not facts.single_recipient or facts.agreed:
        return None
    match rules.single_recipient:
        case SingleRecipient.REVIEW:
            return Reason.SINGLE_RECIPIENT_REVIEW
        case SingleRecipient.ASK:
            return Reason.SINGLE_RECIPIENT_ASK
        case SingleRecipient.WARN:
            return None


def _notice_in_force(facts: PolicyFacts, rules: PolicyRules) -> PriorNotice | None:
    notice = facts.report_counts.notice
    if notice is None:
        return None
    if notice.sent_at is None:
        return notice
    return notice if facts.now - notice.sent_at < rules.cooldown else None


def _again_after_notice(facts: PolicyFacts, rules: PolicyRules) -> bool:
    notice = _notice_in_force(facts, rules)
    return notice is not None and notice.sent_at is not None and facts.identification.sent_at > notice.sent_at


def _restored(facts: PolicyFacts) -> Reason | None:
    """Return RESTORED when a notice for this message may have been sent before a restore, and its record lost."""
    forgotten = facts.restored_at > 0.0 and facts.identification.sent_at <= facts.restored_at
    return Reason.RESTORED if forgotten else None
