"""Classify a message to one of our reply addresses: a person's answer, a bounce, or an automatic answer. Pure.

Nothing here trusts the message: the caller knows from the token and the login who may cancel and whose bounce counts.
A word of the site, alone on the first line, is exact; everything else is read for what it means (`meaning`).
flufl.bounce reads the bounces (RFC 3464, and other forms that MTAs write); it is third-party code, and gets 64 kB.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from enum import StrEnum

from stopit_core.config import FlagWords
from stopit_core.mail import Mail, first_typed_line, is_automatic, is_list, read_message, typed_text, words_of
from stopit_core.mail.clauses import without_footer
from stopit_core.mail.meaning import Meaning, doubts, meaning_of, names_in, says_not_me

__all__ = ["TEXT_CHARACTERS", "Answer", "AnswerKind", "BounceFacts", "read_answer"]

TEXT_CHARACTERS = 4096
"""Maximum length of the typed text that is kept on the case."""

_BOUNCE_BYTES = 64 * 1024
_STATUS = re.compile(rb"^Status:[ \t]*([245]\.\d{1,3}\.\d{1,3})", re.I | re.M)
_ENHANCED = re.compile(r"(?<![\d.])([45]\.\d{1,3}\.\d{1,3})(?![\d.])")


class AnswerKind(StrEnum):
    """The kind of an answer."""

    CANCEL = "cancel"
    YES = "yes"
    NOT_ME = "not-me"
    OTHER = "other"
    BOUNCE = "bounce"
    AUTOMATIC = "automatic"


@dataclass(frozen=True, slots=True)
class BounceFacts:
    """The reason why our message was not delivered.

    `permanent` is False if the MTA gave up on a temporary fault. `status` is the enhanced code (RFC 3463) such as
    "5.1.1", "" if none is given.
    """

    permanent: bool
    status: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A parsed answer. `text` is what was typed, without quotes; `bounce` is set for BOUNCE only.

    BOUNCE always means "not delivered": a report of a delayed or successful delivery is AUTOMATIC. `exact`: the text
    is a word of the site and nothing more. `not_me`: it says that somebody else wrote the mail or used the account,
    whatever else it says; this counts in a sender's answer.
    """

    kind: AnswerKind
    text: str
    bounce: BounceFacts | None = None
    exact: bool = False
    not_me: bool = False


def read_answer(raw: bytes, null_sender: bool, words: FlagWords) -> Answer:
    """Return the answer in a message (or the start of one), in RFC 5322 form. Never raises."""
    mail = read_message(raw)
    text = typed_text(mail.text, TEXT_CHARACTERS)
    report = _is_delivery_report(mail)
    if report or is_automatic(mail.headers, null_sender) or is_list(mail.headers):
        bounce = _bounce(raw[:_BOUNCE_BYTES]) if report or null_sender else None
        return Answer(AnswerKind.BOUNCE if bounce else AnswerKind.AUTOMATIC, text, bounce)
    kind = _kind(mail, text, words)
    exact = kind in (AnswerKind.CANCEL, AnswerKind.YES) and _is_one_of(
        without_footer(text), (*words.cancel, *words.yes)
    )
    not_me = _says_not_me(first_typed_line(mail.text), text, words)
    if kind is AnswerKind.OTHER and not_me:
        kind = AnswerKind.NOT_ME
    return Answer(kind, text, exact=exact, not_me=not_me)


def _kind(mail: Mail, text: str, words: FlagWords) -> AnswerKind:
    """Return the meaning of a typed text. A kind for which the site has no words is not read."""
    line = first_typed_line(mail.text)
    if _is_one_of(line, words.cancel):
        return AnswerKind.CANCEL
    meaning = meaning_of(text, names_in(mail.headers.first("From") or ""))
    if meaning is Meaning.CALL_OFF and words.cancel:
        return AnswerKind.CANCEL
    # A yes must be surer than a cancel: the rest of the text may add to it, but not take it back.
    if _is_one_of(line, words.yes):
        return AnswerKind.OTHER if line.rstrip().endswith("?") or doubts(text) else AnswerKind.YES
    if meaning is Meaning.AGREE and words.yes:
        return AnswerKind.YES
    return AnswerKind.OTHER


def _is_one_of(text: str, words: Sequence[str]) -> bool:
    typed = words_of(text)
    return bool(typed) and typed in {words_of(word) for word in words}


def _says_not_me(line: str, text: str, words: FlagWords) -> bool:
    # A sentence may be longer than `words_of` accepts, so only its beginning is compared.
    begin = words_of(line[:100])
    if any(phrase and begin[: len(phrase)] == phrase for phrase in map(words_of, words.not_me)):
        return True
    return bool(words.not_me) and says_not_me(text)


def _is_delivery_report(mail: Mail) -> bool:
    kind = (mail.headers.first("Content-Type") or "")[:500].casefold()
    return kind.startswith("multipart/report") and "delivery-status" in kind


def _bounce(raw: bytes) -> BounceFacts | None:
    """Return the failure that a bounce reports; None for delays, and for mail that is not a bounce."""
    from flufl.bounce import all_failures  # its detectors compile hundreds of patterns, and bounces are few

    try:
        message = message_from_bytes(raw)
        if not message["From"]:
            message["From"] = "nobody@invalid"  # some detectors fail without one
        _, permanent = all_failures(message)
    except Exception:  # noqa: BLE001  third-party parser, hostile input
        return None
    if not permanent:
        return None
    status = _status(message, raw)
    # "failed" with 4.x.x: the MTA tried for days and gave up.
    return BounceFacts(permanent=not status.startswith("4"), status=status)


def _status(message: Message, raw: bytes) -> str:
    """Return the code in the delivery status, else the first one in the text."""
    if found := _STATUS.search(raw):
        return found.group(1).decode("ascii")
    payload = message.get_payload()
    found_in_text = _ENHANCED.search(payload if isinstance(payload, str) else "")
    return found_in_text.group(1) if found_in_text else ""
