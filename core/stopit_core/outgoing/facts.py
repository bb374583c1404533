"""The content of messages as values: the kinds of messages, and for each kind the facts for its template.

A template can use only these facts, so confidentiality does not depend on the templates: `NoticeFacts` has no field
that could hold anything about a reporter, about the original, or a time of day.
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
"""The headers of every message of ours: exactly these, in this order, each once."""


class MessageKind(StrEnum):
    """The kind of an outgoing message."""

    NOTICE = "notice"
    FIRMER_NOTICE = "firmer-notice"
    ACKNOWLEDGEMENT = "acknowledgement"
    STAFF_ALERT = "staff-alert"

    @property
    def to_sender(self) -> bool:
        """Return whether it goes to the sender of an original, who must learn nothing about the reporter."""
        return self in (MessageKind.NOTICE, MessageKind.FIRMER_NOTICE)


class AnswerEffect(StrEnum):
    """The effect of a reporter's answer, unless it is a new decision. (A `yes` makes one: REPORTER_AGREED.)"""

    CANCELLED = "cancelled"
    CANCEL_TOO_LATE = "cancel-too-late"
    NOTHING_TO_CANCEL = "nothing-to-cancel"
    NOTHING_TO_CONFIRM = "nothing-to-confirm"
    DETAILS_KEPT = "details-kept"


class AlertKind(StrEnum):
    """The reason for an alert to staff."""

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
    """For the sender. `day`: when the original was sent, in the site's time zone. `firmer`: the notice that staff
    send."""

    case_number: str
    day: date
    firmer: bool = False

    @property
    def kind(self) -> MessageKind:
        """Return NOTICE or FIRMER_NOTICE."""
        return MessageKind.FIRMER_NOTICE if self.firmer else MessageKind.NOTICE

    @property
    def template(self) -> str:
        """Return the name of the template."""
        return f"{self.kind}.txt.j2"


@dataclass(frozen=True, slots=True)
class AcknowledgementFacts:
    """For the reporter: what will happen, or the effect of their answer.

    `case_number` is "" if there is no case. `notice_at`: when the notice is sent (seconds since the epoch), None if
    none is. `single_recipient`: nobody else received the original. `withheld`: the flagging reply was withheld.
    `truncated`: the report was longer than what is read. `no_original`: the flag names no message that can be read.
    """

    reason: Reason | AnswerEffect
    case_number: str = ""
    command: Command = Command.FLAG
    notice_at: float | None = None
    single_recipient: bool = False
    withheld: bool = False
    truncated: bool = False
    no_original: bool = False

    @property
    def kind(self) -> MessageKind:
        """Return ACKNOWLEDGEMENT."""
        return MessageKind.ACKNOWLEDGEMENT

    @property
    def template(self) -> str:
        """Return the name of the template: one for each reason and each effect."""
        return f"ack-{self.reason}.txt.j2"


@dataclass(frozen=True, slots=True)
class AlertFacts:
    """For staff. `reporter` and `sender` are canonical addresses, "" if nobody can be named.

    `reason`: that of the policy, if there was a decision; `also`: another reason not to send a notice. `message`: the
    kind of our message that bounced or failed. `details`: the text of an answer, a bounce or a server, line
    by line; it is quoted, never believed.
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
    also: Reason | None = None

    @property
    def kind(self) -> MessageKind:
        """Return STAFF_ALERT."""
        return MessageKind.STAFF_ALERT

    @property
    def template(self) -> str:
        """Return the name of the template. An urgent report has its own template, so that its subject says so."""
        urgent = self.alert is AlertKind.REVIEW and self.command is Command.URGENT
        return "alert-urgent.txt.j2" if urgent else f"alert-{self.alert}.txt.j2"


Facts = NoticeFacts | AcknowledgementFacts | AlertFacts


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message, ready for SMTP.

    `ref` names it; `message_id` is derived from it (no angle brackets). `envelope_from` is our own address with the
    token for `ref`. `data` is the whole message: ASCII, CRLF line ends, without dot-stuffing.
    """

    kind: MessageKind
    ref: str
    message_id: str
    envelope_from: str
    recipient: str
    data: bytes
