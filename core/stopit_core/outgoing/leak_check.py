"""The last look at a message before it leaves. Pure, and deliberately not told how the message was made.

`check_message`: the head is exactly ours, and there is one recipient, the one of the envelope. `check_nothing_of`:
nothing of the reporter is in what a sender gets.

The second one has to live with names that are words: a reporter `may@` or `will@` must not stop every notice. So a
message is compared with its blank: the same templates about the same day, to nobody, about no case
(`Renderer.blank`). What the blank says too is no leak, however often a name looks like it; one occurrence more is.
For the same reason the recipient's own address is masked first, and so are the random ref and token: `olivera@` is
no mention of `vera@`.
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
# What reads the same to every reader, in an address or a Message-ID (atoms and dots; RFC 5322 section 3.2.3).
_ATOMS = r"[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*"
_PLAIN = re.compile(rf"(?=.{{1,320}}\Z){_ATOMS}@{_ATOMS}")
_LETTERS = 64
"""So many different letters are known to be in order."""
_FIXED = {
    "Auto-Submitted": ("auto-generated", "auto-replied"),
    "X-Auto-Response-Suppress": ("All",),
    "MIME-Version": ("1.0",),
    "Content-Type": ("text/plain; charset=utf-8; format=flowed",),
    "Content-Transfer-Encoding": ("7bit", "quoted-printable"),
}


class Unsafe(StopitError):
    """A message of ours must not be sent. A person has to look at it: trying again changes nothing."""


class Malformed(Unsafe):
    """The message is not the one plain letter to one recipient that it should be."""


class Leak(Unsafe):
    """The message would tell a sender something of a reporter. Says what kind of thing, never the thing itself."""


def check_message(outgoing: Outgoing) -> None:
    """Raise Malformed unless `outgoing.data` is one letter with our headers, each once, to `outgoing.recipient`.

    Ten thousand acknowledgements are the same letter under other addresses. Where the addresses are plain, and stand
    where they belong, that letter is read once, under addresses that stand in for them.
    """
    head, _, body = outgoing.data.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    names = (outgoing.recipient, outgoing.envelope_from, outgoing.message_id)
    if len(lines) == len(HEADER_NAMES) and all(map(_PLAIN.fullmatch, names)):
        expected = _addressed(*names)
        if all(lines[at] == line for at, line in expected.items()):
            _check_under_other_names(tuple(line for at, line in enumerate(lines) if at not in expected), body)
            return
    _check_whole(outgoing)


def _addressed(recipient: str, envelope_from: str, message_id: str) -> dict[int, bytes]:
    """The lines of a head that hold these, by their place."""
    held = {"To": recipient, "Reply-To": envelope_from, "Message-ID": message_id}
    return {HEADER_NAMES.index(name): f"{name}: <{value}>".encode("ascii") for name, value in held.items()}


@lru_cache(_LETTERS)
def _check_under_other_names(rest: tuple[bytes, ...], body: bytes) -> None:
    """`_check_whole` for a letter with these lines in its head, and plain addresses between them."""
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
    _must(tuple(message.keys()) == HEADER_NAMES, "its headers read differently to another reader")
    _must(not message.is_multipart() and not message.defects, "it has parts or defects")
    _must(_is_just(message, data, "To", outgoing.recipient), "its recipient is not the one of the envelope")
    _must(_is_just(message, data, "Reply-To", outgoing.envelope_from), "its answers would go astray")
    _must(len(getaddresses([str(message["From"])])) == 1, "it has not one author")
    _must(message["Message-ID"] == f"<{outgoing.message_id}>", "its Message-ID is not the one on record")
    _must(_is_date(message["Date"]), "its date cannot be read")
    for name, allowed in _FIXED.items():
        _must(message[name] in allowed, f"its {name} is not ours")


def check_nothing_of(outgoing: Outgoing, forbidden: Iterable[str], blank: Outgoing) -> None:
    """Raise Leak when `outgoing` holds any of the strings more often than `blank` does.

    `forbidden`: the reporters' addresses (canonical and as given), Message-IDs of originals and flags, with or
    without angle brackets, display names. What holds an @ counts anywhere, and its part before the @ as a whole
    word; the rest counts as whole words. Parts and words of fewer than three characters tell nothing and do not
    count. Case, width of letters, encodings and line ends make no difference.
    """
    said, unsaid = _faces(outgoing), _faces(blank)
    for words, pattern, faces, what in _patterns(forbidden):
        for face in faces:
            if words not in said[face]:
                continue
            found = re.compile(pattern)
            if len(found.findall(said[face])) > len(found.findall(unsaid[face])):
                raise Leak(f"a {outgoing.kind} (message {outgoing.ref}) holds {what}")


class _Face(Enum):
    """The ways in which a message can be read."""

    TRAVELLING = auto()
    READ = auto()
    WITHOUT_SPACE = auto()  # folding and wrapping may have put white space in the middle of an address


_WORDS = (_Face.TRAVELLING, _Face.READ)


def _must(holds: bool, what: str) -> None:
    if not holds:
        raise Malformed(f"not sent: {what}")


def _names(head: bytes) -> Iterator[str]:
    """The header names, by the letter of RFC 5322: a line begins a header or, by white space, goes on with one."""
    for line in head.split(b"\r\n"):
        if line.startswith((b" ", b"\t")) and line.strip():
            continue
        match = _HEADER.fullmatch(line)
        yield match[1].decode("ascii") if match else ""


def _is_just(message: Message, data: bytes, name: str, address: str) -> bool:
    """Whether a header is this address in angle brackets and nothing else: no name, no comment, no second one."""
    return message[name] == f"<{address}>" and f"\r\n{name}: <{address}>\r\n".encode() in data


def _is_date(value: str) -> bool:
    try:
        return format_datetime(parsedate_to_datetime(value)) == value
    except (TypeError, ValueError):
        return False


def _patterns(forbidden: Iterable[str]) -> Iterator[tuple[str, str, Iterable[_Face], str]]:
    """What must not be said, the pattern that finds it, where, and what kind of thing it is."""
    for given in forbidden:
        text = _folded(given.strip().strip("<>"))
        local, at, domain = text.rpartition("@")
        if at and local and domain:
            yield text, re.escape(text), _Face, "an address or Message-ID"
        word = local if at else text
        if len(word) >= _MIN_WORD:
            yield word, rf"(?<!\w){re.escape(word)}(?!\w)", _WORDS, "a name"


def _faces(outgoing: Outgoing) -> dict[_Face, str]:
    message = message_from_bytes(outgoing.data)
    heads = [f"{name}: {_decoded(str(value))}" for name, value in message.items()]
    payload = message.get_payload(decode=True)
    body = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else str(message.get_payload())
    travelling = _masked(outgoing.data.replace(b"=\r\n", b"").decode("latin-1"), outgoing)
    read = _masked("\n".join([*heads, "", body]), outgoing)
    return {
        _Face.TRAVELLING: " ".join(travelling.split()),
        _Face.READ: " ".join(read.split()),
        _Face.WITHOUT_SPACE: "".join(read.split()),
    }


def _masked(text: str, outgoing: Outgoing) -> str:
    """The text, folded, without what every message has of its own: its recipient, its ref and its token."""
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
