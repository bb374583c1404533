"""The final check of a message before it leaves: the leak check, with what the record knows of the case.

A message to a sender is compared with the addresses of everyone who reported in the case, and with its blank: the
same notice about the same day, addressed to nobody.
"""

from __future__ import annotations

from datetime import date
from email import message_from_bytes
from email.utils import parsedate_to_datetime

from stopit_core.cases import MessageRow, Sending
from stopit_core.outgoing.facts import MessageKind, NoticeFacts, Outgoing
from stopit_core.outgoing.leak_check import Malformed, check_message, check_nothing_of
from stopit_core.outgoing.render import Renderer

__all__ = ["check", "check_with_record"]


def check(message: MessageRow) -> None:
    """Raise `leak_check.Unsafe` when the message is not a proper message to its one recipient."""
    check_message(_outgoing(message))


def check_with_record(message: MessageRow, sending: Sending, renderer: Renderer) -> None:
    """Raise `leak_check.Unsafe` when the message must not leave. Reads the record, and writes nothing."""
    outgoing = _outgoing(message)
    check_message(outgoing)
    if not outgoing.kind.to_sender:
        return
    leaves_at = parsedate_to_datetime(str(message_from_bytes(message.data)["Date"])).timestamp()
    firmer = outgoing.kind is MessageKind.FIRMER_NOTICE
    facts = NoticeFacts("", _day(message, sending, renderer, leaves_at), firmer)
    reporters = sending.reporters(message.case_id) - {message.recipient}
    check_nothing_of(outgoing, reporters, renderer.blank(facts, leaves_at))


def _outgoing(message: MessageRow) -> Outgoing:
    try:
        kind = MessageKind(message.kind)
    except ValueError:
        raise Malformed(f"not sent: this version knows no message of kind {message.kind}") from None
    return Outgoing(kind, message.ref, message.message_id, message.envelope_from, message.recipient, message.data)


def _day(message: MessageRow, sending: Sending, renderer: Renderer, leaves_at: float) -> date:
    """Return the day that the notice names: that of the original in the report that led to it."""
    report = sending.cause_of(message)
    return renderer.day(report.message_sent_at if report else leaves_at)
