"""What Stopit says, as values: the kinds of messages, and for each the facts that its template is given.

The facts are all that a template can speak of, so confidence is kept by construction: `NoticeFacts` has no field
that could hold anything of a reporter, of the original, or of an hour.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from stopit_core.decision.policy import Reason
from stopit_core.model import Assurance, Command

__all__ = [
    "HEADER_NAMES",
    "AcknowledgementFacts",
    "AlertFacts",
    "AlertKind",
    "AnswerEffect",
    "Facts",
    "MessageKind",
    "NoticeFacts",
    "Outgoing",
]

HEADER_NAMES = (
    "From",
    "To",
    "Reply-To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "X-Auto-Response-Suppress",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
)
"""The headers of every message of ours: these, in this order, each once, and no other."""


class MessageKind(StrEnum):
    """What a message of ours is."""

    NOTICE = "notice"
    FIRMER_NOTICE = "firmer-notice"
    ACKNOWLEDGEMENT = "acknowledgement"
    STAFF_ALERT = "staff-alert"

    @property
    def to_sender(self) -> bool:
        """Whether it goes to the sender of an original, who must learn nothing of the reporter."""
        return self in (MessageKind.NOTICE, MessageKind.FIRMER_NOTICE)


class AnswerEffect(StrEnum):
    """What came of a reporter's answer, where that is no new decision. (A `yes` makes one: REPORTER_AGREED.)"""

    CANCELLED = "cancelled"
    CANCEL_TOO_LATE = "cancel-too-late"
    NOTHING_TO_CANCEL = "nothing-to-cancel"
    NOTHING_TO_CONFIRM = "nothing-to-confirm"
    DETAILS_KEPT = "details-kept"


class AlertKind(StrEnum):
    """Why staff are written to."""

    REVIEW = "review"
    SENDER_NOT_ME = "sender-not-me"
    SENDER_ANSWERED = "sender-answered"
    REPORTER_DETAILS = "reporter-details"
    REPORTER_CANCELLED = "reporter-cancelled"
    BOUNCED = "bounced"
    NOT_SENT = "not-sent"
    UNCLEAR = "unclear"
    CONTACT_AFTER_NOTICE = "contact-after-notice"
    TRUNCATED = "truncated"
    RESTORED = "restored"


@dataclass(frozen=True, slots=True)
class NoticeFacts:
    """For the sender. `day`: when the original was sent, in the site's own time. `firmer`: the one staff send."""

    case_number: str
    day: date
    firmer: bool = False

    @property
    def kind(self) -> MessageKind:
        """NOTICE or FIRMER_NOTICE."""
        return MessageKind.FIRMER_NOTICE if self.firmer else MessageKind.NOTICE

    @property
    def template(self) -> str:
        """The name of the template."""
        return f"{self.kind}.txt.j2"


@dataclass(frozen=True, slots=True)
class AcknowledgementFacts:
    """For the reporter: what will happen, or what came of their answer.

    `case_number` is "" where there is no case. `notice_at`: when the notice leaves (seconds since the epoch), None
    when none will. `single_recipient`: nobody else received the original. `withheld`: the flagging reply was
    kept back. `truncated`: the report was longer than what is read.
    """

    reason: Reason | AnswerEffect
    case_number: str = ""
    command: Command = Command.FLAG
    notice_at: float | None = None
    single_recipient: bool = False
    withheld: bool = False
    truncated: bool = False

    @property
    def kind(self) -> MessageKind:
        """ACKNOWLEDGEMENT."""
        return MessageKind.ACKNOWLEDGEMENT

    @property
    def template(self) -> str:
        """The name of the template: one for each reason and each effect."""
        return f"ack-{self.reason}.txt.j2"


@dataclass(frozen=True, slots=True)
class AlertFacts:
    """For staff. `reporter` and `sender` are canonical addresses, "" when nobody can be named.

    `reason`: the policy's, where there was a decision. `message`: which message of ours bounced or could not be
    sent. `details`: what an answer, a bounce or a server said, line by line; it is quoted, never believed.
    """

    alert: AlertKind
    case_number: str
    reporter: str = ""
    sender: str = ""
    reporter_assurance: Assurance = Assurance.UNVERIFIED
    sender_assurance: Assurance = Assurance.UNVERIFIED
    command: Command = Command.FLAG
    reason: Reason | None = None
    message: MessageKind | None = None
    details: tuple[str, ...] = ()

    @property
    def kind(self) -> MessageKind:
        """STAFF_ALERT."""
        return MessageKind.STAFF_ALERT

    @property
    def template(self) -> str:
        """The name of the template. What a member called urgent has one of its own, so that its subject says so."""
        urgent = self.alert is AlertKind.REVIEW and self.command is Command.URGENT
        return "alert-urgent.txt.j2" if urgent else f"alert-{self.alert}.txt.j2"


Facts = NoticeFacts | AcknowledgementFacts | AlertFacts


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message, ready for SMTP.

    `ref` names it, `message_id` is derived from that (no angle brackets). `envelope_from` is our own address with
    the token that opens to `ref`. `data` is the whole message, ASCII, with CRLF line ends, and no dots doubled.
    """

    kind: MessageKind
    ref: str
    message_id: str
    envelope_from: str
    recipient: str
    data: bytes
