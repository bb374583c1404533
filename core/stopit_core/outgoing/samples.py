"""Sample facts for every text: for previews, for the check of the templates at start-up, and for the golden files."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime

from stopit_core.config import Office
from stopit_core.decision.policy import Outcome, Reason
from stopit_core.model import Assurance, Command
from stopit_core.outgoing.facts import (
    AcknowledgementFacts,
    AlertFacts,
    AlertKind,
    AnswerEffect,
    Facts,
    MessageKind,
    NoticeFacts,
)

__all__ = [
    "SAMPLE_AT",
    "SAMPLE_OFFICE",
    "SAMPLE_RECIPIENT",
    "SAMPLE_REF",
    "acknowledgement",
    "alert",
    "notice",
    "sample_facts",
]

SAMPLE_AT = datetime(2026, 11, 3, 14, 5, tzinfo=UTC).timestamp()
SAMPLE_RECIPIENT = "someone@example.edu"
SAMPLE_REF = "a" * 16
SAMPLE_OFFICE = Office(name="Ombuds Office", address="ombuds@example.edu", about="Confidential advice, for everyone.")
_CASE = "7KQ4-M2XD"
_PENDING = (Reason.NOTICE_PENDING,)


def notice(*, firmer: bool = False) -> NoticeFacts:
    """Return a notice about mail of 2 November 2026."""
    return NoticeFacts(_CASE, date(2026, 11, 2), firmer)


def acknowledgement(
    reason: Reason | AnswerEffect,
    *,
    single_recipient: bool = False,
    no_original: bool = False,
    pending: bool = False,
) -> AcknowledgementFacts:
    """Return an acknowledgement with this reason; if it has a notice, or one is `pending`, that is sent 40 minutes
    later."""
    outcome = reason.outcome if isinstance(reason, Reason) else None
    waits = pending or outcome is Outcome.NOTICE or reason in _PENDING
    return AcknowledgementFacts(
        reason,
        case_number="" if outcome is Outcome.REJECT else _CASE,
        command=Command.URGENT if reason is Reason.URGENT else Command.FLAG,
        notice_at=SAMPLE_AT + 2400.0 if waits else None,
        single_recipient=single_recipient or reason in (Reason.SINGLE_RECIPIENT_ASK, Reason.SINGLE_RECIPIENT_REVIEW),
        withheld=isinstance(reason, Reason) and reason is not Reason.REPORTER_AGREED,
        no_original=no_original or reason is Reason.NO_ORIGINAL,
    )


def alert(kind: AlertKind, reason: Reason | None = None, also: Reason | None = None) -> AlertFacts:
    """Return an alert of this kind with everything that it can contain; no sender where no message can be read."""
    with_message = (AlertKind.BOUNCED, AlertKind.NOT_SENT, AlertKind.UNCLEAR)
    quoting = (AlertKind.SENDER_NOT_ME, AlertKind.SENDER_ANSWERED, AlertKind.REPORTER_DETAILS, *with_message)
    known = also is not Reason.NO_ORIGINAL
    return AlertFacts(
        kind,
        _CASE,
        reporter="vera@example.edu",
        sender="mallory@example.edu" if known else "",
        reporter_assurance=Assurance.AUTHENTICATED,
        sender_assurance=Assurance.AUTHENTICATED if known else Assurance.UNVERIFIED,
        command=Command.URGENT if reason is Reason.URGENT else Command.FLAG,
        reason=reason,
        message=MessageKind.NOTICE if kind in with_message else None,
        details=("The first line of what was said,", "and the second one.") if kind in quoting else (),
        also=also,
    )


def sample_facts() -> Iterator[Facts]:
    """Yield facts for every text: each template is used, with each reason that it has words for."""
    yield notice()
    yield notice(firmer=True)
    for reason in (*Reason, *AnswerEffect):
        yield acknowledgement(reason)
    yield acknowledgement(Reason.NOTICE_DUE, single_recipient=True)
    yield acknowledgement(Reason.REPORTER_AGREED, single_recipient=True)
    yield acknowledgement(Reason.URGENT, no_original=True)
    yield acknowledgement(AnswerEffect.DETAILS_KEPT, pending=True)
    for reason in Reason:
        yield alert(AlertKind.REVIEW, reason)
    for also in (Reason.NO_ORIGINAL, Reason.NOT_A_RECIPIENT):
        yield alert(AlertKind.REVIEW, Reason.URGENT, also)
    for kind in AlertKind:
        yield alert(kind)
