"""What a message looks like, for people: `stopitctl preview`."""

from __future__ import annotations

from email import policy
from email.parser import BytesParser

from stopit_core.decision.policy import Reason
from stopit_core.outgoing.facts import AlertKind, AnswerEffect, Facts, MessageKind, Outgoing
from stopit_core.outgoing.render import Renderer
from stopit_core.outgoing.samples import SAMPLE_AT, SAMPLE_RECIPIENT, SAMPLE_REF, acknowledgement, alert, notice

__all__ = ["preview", "readable"]

_SHOWN = ("From", "To", "Subject")


def preview(renderer: Renderer, kind: MessageKind, about: Reason | AnswerEffect | AlertKind | None = None) -> str:
    """The message of this kind with made-up facts, as a person reads it.

    `about`: for an acknowledgement a Reason or AnswerEffect (else NOTICE_DUE); for an alert an AlertKind or the
    Reason of a review (else a review). A notice has no `about`. Raises ValueError where the two don't fit.
    """
    outgoing = renderer.render(_facts(kind, about), recipient=SAMPLE_RECIPIENT, ref=SAMPLE_REF, at=SAMPLE_AT)
    return readable(outgoing)


def readable(outgoing: Outgoing) -> str:
    """The headers that a mail client shows, and the text."""
    message = BytesParser(policy=policy.default).parsebytes(outgoing.data)
    text = "\n".join(line.rstrip() for line in message.get_content().splitlines())
    return "".join(f"{name}: {message[name]}\n" for name in _SHOWN) + "\n" + text + "\n"


def _facts(kind: MessageKind, about: Reason | AnswerEffect | AlertKind | None) -> Facts:
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
