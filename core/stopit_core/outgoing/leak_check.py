"""The final check of a message before it is sent. Pure, and independent of the code that created the message.

`check_message`: the headers are exactly ours, and there is one recipient, that of the envelope. `check_nothing_of`:
the message to a sender contains nothing of the reporter.

The second check must handle names that are words: a reporter `may@` or `will@` must not stop every notice. So a
message is compared with its blank: the same templates for the same day, to nobody, about no case (`Renderer.blank`).
Text that is in the blank is no leak, however often it looks like a name; one occurrence more is. For the same reason
the recipient's own address is masked first, and so are the random ref and token: `olivera@` does not mention `vera@`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from email import message_from_bytes
from email.errors import MessageError
from email.header import decode_header
from email.message import Message
from email.utils import format_datetime, getaddresses, parsedate_to_datetime
from enum import Enum, auto
from functools import lru_cache

from stopit_core.errors import StopitError
from stopit_core.outgoing.facts import HEADER_NAMES, MessageKind, Outgoing

__all__ = ["Leak", "Malformed", "Unsafe", "check_message", "check_nothing_of"]

_MAX_LINE = 998  # RFC 5322 section 2.1.1
_MIN_WORD = 3
_RANDOM = re.compile(r"[a-z2-7]{16}(?:[a-z2-7]{16})?")  # a ref, or a token: base32
_HEADER = re.compile(rb"([!-9;-~]+): (.+)")
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# Addresses and Message-IDs that all parsers read alike (atoms and dots; RFC 5322 section 3.2.3).
_ATOMS = r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*"
_PLAIN = re.compile(rf"(?=.{{1,320}}\Z){_ATOMS}@{_ATOMS}")
_CACHE_SIZE = 64
"""Size of the LRU cache of messages that passed `check_message`."""
_FIXED = {
    "Auto-Submitted": ("auto-generated", "auto-replied"),
    "X-Auto-Response-Suppress": ("All",),
    "MIME-Version": ("1.0",),
    "Content-Type": ("text/plain; charset=utf-8; format=flowed",),
    "Content-Transfer-Encoding": ("7bit", "quoted-printable"),
}


class Unsafe(StopitError):
    """A message of ours must not be sent. A person has to look at it: a retry changes nothing."""


class Malformed(Unsafe):
    """The message is not a plain message to one recipient, as it should be."""


class Leak(Unsafe):
    """The message would reveal something about a reporter to a sender. Names the kind of data, never the data
    itself."""


def check_message(outgoing: Outgoing) -> None:
    """Raise Malformed unless `outgoing.data` is one message with our headers, each once, to `outgoing.recipient`.

    Ten thousand acknowledgements are the same message with other addresses. If the addresses are plain and in the
    right places, that message is checked once, with placeholders for the addresses.
    """
    head, _, body = outgoing.data.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    names = (outgoing.recipient, outgoing.envelope_from, outgoing.message_id)
    if len(lines) == len(HEADER_NAMES) and all(map(_PLAIN.fullmatch, names)):
        expected = _addressed(*names)
        if all(lines[at] == line for at, line in expected.items()):
            _check_with_placeholders(tuple(line for at, line in enumerate(lines) if at not in expected), body)
            return
    _check_whole(outgoing)


def _addressed(recipient: str, envelope_from: str, message_id: str) -> dict[int, bytes]:
    """Return the header lines that contain these values, by their index."""
    held = {"To": recipient, "Reply-To": envelope_from, "Message-ID": message_id}
    return {HEADER_NAMES.index(name): f"{name}: <{value}>".encode("ascii") for name, value in held.items()}


@lru_cache(_CACHE_SIZE)
def _check_with_placeholders(rest: tuple[bytes, ...], body: bytes) -> None:
    """Run `_check_whole` on a message with these header lines, and placeholders for the addresses."""
    names = ("recipient@invalid", "envelope@invalid", "message@invalid")
    expected, others = _addressed(*names), iter(rest)
    lines = [expected[at] if at in expected else next(others) for at in range(len(HEADER_NAMES))]
    recipient, envelope_from, message_id = names
    data = b"\r\n".join(lines) + b"\r\n\r\n" + body
    _check_whole(Outgoing(MessageKind.ACKNOWLEDGEMENT, "", message_id, envelope_from, recipient, data))


def _check_whole(outgoing: Outgoing) -> None:
    data = outgoing.data
    lines = data.split(b"\r\n")
    _must(data.isascii() and b"\0" not in data, "it is not ASCII")
    _must(not any(b"\r" in line or b"\n" in line for line in lines), "a line end is not CRLF")
    _must(data.endswith(b"\r\n") and all(len(line) <= _MAX_LINE for line in lines), "a line is too long or not ended")
    raw_names = tuple(_names(data.partition(b"\r\n\r\n")[0]))
    _must(not _CONTROL.search(data.partition(b"\r\n\r\n")[0]), "its headers hold a control character")
    message = message_from_bytes(data)
    _must(raw_names == HEADER_NAMES, "its headers are not the ones that belong there")
    _must(tuple(message.keys()) == HEADER_NAMES, "another parser reads its headers differently")
    _must(not message.is_multipart() and not message.defects, "it has parts or defects")
    _must(_is_only(message, data, "To", outgoing.recipient), "its recipient is not the one of the envelope")
    _must(_is_only(message, data, "Reply-To", outgoing.envelope_from), "its Reply-To is not the envelope sender")
    _must(len(getaddresses([str(message["From"])])) == 1, "its From is not one address")
    _must(message["Message-ID"] == f"<{outgoing.message_id}>", "its Message-ID is not the one on record")
    _must(_is_date(message["Date"]), "its date cannot be read")
    for name, allowed in _FIXED.items():
        _must(message[name] in allowed, f"its {name} has another value than ours")


def check_nothing_of(outgoing: Outgoing, forbidden: Iterable[str], blank: Outgoing) -> None:
    """Raise Leak if `outgoing` contains any of the strings more often than `blank` does.

    `forbidden`: the reporters' addresses (canonical and as given), Message-IDs of originals and flags, with or
    without angle brackets, display names. A string with an @ counts anywhere, and its part before the @ as a whole
    word; other strings count as whole words. Parts and words of fewer than three characters identify nobody and do
    not count. Case, width of letters, encodings and line ends are ignored.
    """
    said, unsaid = _forms_of(outgoing), _forms_of(blank)
    for words, pattern, forms, what in _patterns(forbidden):
        for form in forms:
            if words not in said[form]:
                continue
            found = re.compile(pattern)
            if len(found.findall(said[form])) > len(found.findall(unsaid[form])):
                raise Leak(f"a {outgoing.kind} (message {outgoing.ref}) holds {what}")


class _Form(Enum):
    """The forms in which a message is searched."""

    RAW = auto()
    READ = auto()
    WITHOUT_SPACE = auto()  # folding and wrapping may have split an address by white space


_WORDS = (_Form.RAW, _Form.READ)


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise Malformed(f"not sent: {what}")


def _names(head: bytes) -> Iterator[str]:
    """Yield the header names strictly by RFC 5322: a line begins a header or, with white space, continues one."""
    for line in head.split(b"\r\n"):
        if line.startswith((b" ", b"\t")) and line.strip():
            continue
        match = _HEADER.fullmatch(line)
        yield match[1].decode("ascii") if match else ""


def _is_only(message: Message, data: bytes, name: str, address: str) -> bool:
    """Return whether a header is only this address in angle brackets: no name, no comment, no second address."""
    return message[name] == f"<{address}>" and f"\r\n{name}: <{address}>\r\n".encode() in data


def _is_date(value: str) -> bool:
    try:
        return format_datetime(parsedate_to_datetime(value)) == value
    except (TypeError, ValueError):
        return False


def _patterns(forbidden: Iterable[str]) -> Iterator[tuple[str, str, Iterable[_Form], str]]:
    """Yield each forbidden text, the pattern that finds it, the forms to search, and what kind of data it is."""
    for given in forbidden:
        text = _folded(given.strip().strip("<>"))
        local, at, domain = text.rpartition("@")
        if at and local and domain:
            yield text, re.escape(text), _Form, "an address or Message-ID"
        word = local if at else text
        if len(word) >= _MIN_WORD:
            yield word, rf"(?<!\w){re.escape(word)}(?!\w)", _WORDS, "a name"


def _forms_of(outgoing: Outgoing) -> dict[_Form, str]:
    message = message_from_bytes(outgoing.data)
    heads = [f"{name}: {_decoded(str(value))}" for name, value in message.items()]
    payload = message.get_payload(decode=True)
    body = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else str(message.get_payload())
    raw = _masked(outgoing.data.replace(b"=\r\n", b"").decode("latin-1"), outgoing)
    read = _masked("\n".join([*heads, "", body]), outgoing)
    return {
        _Form.RAW: " ".join(raw.split()),
        _Form.READ: " ".join(read.split()),
        _Form.WITHOUT_SPACE: "".join(read.split()),
    }


def _masked(text: str, outgoing: Outgoing) -> str:
    """Return the text, folded, without what differs in every message: its recipient, its ref and its token."""
    folded = _folded(text)
    token = outgoing.envelope_from.rpartition("@")[0].rpartition("+")[2]
    random = [part for part in (token, outgoing.ref) if _RANDOM.fullmatch(part)]
    for own in (_folded(outgoing.recipient), *random):
        folded = folded.replace(own, "…") if own else folded
    return folded


def _decoded(value: str) -> str:
    try:
        return "".join(
            part.decode(charset or "latin-1", "replace") if isinstance(part, bytes) else part
            for part, charset in decode_header(value)
        )
    except (MessageError, ValueError, LookupError):
        return value


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
