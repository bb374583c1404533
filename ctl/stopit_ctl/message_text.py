"""The text of a message as a mail client shows it: of one in the case record, or of a sample."""

from __future__ import annotations

from email import policy
from email.parser import BytesParser

from stopit_core.decision.policy import Reason
from stopit_core.outgoing.facts import AlertKind, AnswerEffect, Facts, MessageKind
from stopit_core.outgoing.render import Renderer
from stopit_core.outgoing.samples import SAMPLE_AT, SAMPLE_RECIPIENT, SAMPLE_REF, acknowledgement, alert, notice

__all__ = ["message_text", "sample_text"]

_HEADERS = ("From", "To", "Subject")


def message_text(data: bytes) -> str:
    """Return the headers that a mail client shows, and the text."""
    message = BytesParser(policy=policy.default).parsebytes(data)
    text = "\n".join(line.rstrip() for line in message.get_content().splitlines())
    return "".join(f"{name}: {message[name]}\n" for name in _HEADERS) + "\n" + text + "\n"


def sample_text(renderer: Renderer, kind: MessageKind, about: Reason | AnswerEffect | AlertKind | None = None) -> str:
    """Return the text of a message of this kind, rendered with sample facts.

    `about`: for an acknowledgement a Reason or AnswerEffect (default NOTICE_DUE); for an alert an AlertKind, or the
    Reason of a review (default a review). A notice has no `about`. Raises ValueError where the two do not match.
    """
    facts = _sample_facts(kind, about)
    return message_text(renderer.render(facts, recipient=SAMPLE_RECIPIENT, ref=SAMPLE_REF, at=SAMPLE_AT).data)


def _sample_facts(kind: MessageKind, about: Reason | AnswerEffect | AlertKind | None) -> Facts:
    match kind, about:
        case (MessageKind.NOTICE | MessageKind.FIRMER_NOTICE, None):
            return notice(firmer=kind is MessageKind.FIRMER_NOTICE)
        case MessageKind.ACKNOWLEDGEMENT, (Reason() | AnswerEffect() | None) as reason:
            return acknowledgement(reason or Reason.NOTICE_DUE)
        case MessageKind.STAFF_ALERT, AlertKind() as wanted:
            return alert(wanted)
        case MessageKind.STAFF_ALERT, (Reason() | None) as reason:
            return alert(AlertKind.REVIEW, reason or Reason.NO_TRACE)
    raise ValueError(f"a {kind} has no text about {about}")
