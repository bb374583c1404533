"""Recognition of messages in a mailbox, and the search for leaks in them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.message import EmailMessage

from stopit_lab.dialog.steps import Kind
from stopit_lab.mailbox import Received
from stopit_lab.people import REPORT

__all__ = ["Sent", "case_number", "is_copy_of", "is_delivery_of", "kind_of", "leaks", "phrases"]

_CASE = re.compile(r"(?:number of (?:this|your) case is|^Case:) +(\S+?)\.?\s", re.M)
_RUN = 3
"""Words in a row that count as a quotation."""
_SHORT = 10
"""Letters that a text of fewer words must have to be looked for."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A message as a person's client sent it.

    `queue_id` is the MTA's, "" when the message was not taken. `written` is what the person wrote in it: Subject and
    text, without what a reply quotes.
    """

    line: int
    author: str
    raw: bytes
    message: EmailMessage
    recipients: tuple[str, ...]
    queue_id: str
    written: tuple[str, ...]

    @property
    def message_id(self) -> str:
        """The Message-ID, "" when there is none."""
        return str(self.message["Message-ID"] or "").strip()


def kind_of(message: Received, staff: bool) -> Kind:
    """Return what a message is; `staff` is whether staff got it."""
    if message.header("X-Stopit-Report"):
        return Kind.COPY
    automatic = message.header("Auto-Submitted")
    if REPORT not in message.header("From") or automatic in ("", "no"):
        return Kind.MESSAGE
    if staff:
        return Kind.ALERT
    return Kind.ACKNOWLEDGEMENT if automatic == "auto-replied" else Kind.NOTICE


def is_delivery_of(message: Received, sent: Sent) -> bool:
    """Return whether a message is this one, delivered: by the MTA's queue id, because a Message-ID can be forged."""
    received = [str(value) for value in message.message.get_all("Received", [])]
    pattern = re.compile(rf"\bid {re.escape(sent.queue_id)}\b")
    return (
        bool(sent.queue_id) and any(pattern.search(value) for value in received) and _same_id(message.message, sent)
    )


def is_copy_of(message: Received, sent: Sent) -> bool:
    """Return whether a message is the copy for staff of this one: tagged, or attached to a tagged one."""
    if not message.header("X-Stopit-Report"):
        return False
    return any(_same_id(part, sent) for part in message.message.walk() if isinstance(part, EmailMessage))


def _same_id(message: EmailMessage, sent: Sent) -> bool:
    return not sent.message_id or str(message["Message-ID"] or "").strip() == sent.message_id


def case_number(message: Received) -> str:
    """Return the number of the case that a message of Stopit's is about, "" when it tells none."""
    found = _CASE.search(message.text)
    return found[1] if found else ""


def phrases(text: str) -> set[str]:
    """Return what would be a quotation of a text: each three words in a row."""
    found = _words(text)
    if len(found) < _RUN:
        whole = " ".join(found)
        return {whole} if len(whole) >= _SHORT else set()
    return {" ".join(found[place : place + _RUN]) for place in range(len(found) - _RUN + 1)}


def leaks(message: Received, account: str, secrets: Iterable[str], texts: Iterable[str]) -> list[str]:
    """Return what a message to the holder of `account` tells of others: secrets, and quotations of the texts."""
    found = [secret for secret in secrets if secret in message]
    shown = f"{message.subject}\n{message.text}".casefold().replace(account.casefold(), " ")
    said = f" {' '.join(_words(shown))} "
    return found + sorted(phrase for phrase in _all_phrases(texts) if f" {phrase} " in said)


def _all_phrases(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield from phrases(text)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())
