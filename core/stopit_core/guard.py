"""The last look at a message before it leaves. Pure, and deliberately not told how the message was made.

`check_message`: the head is exactly ours, and there is one recipient, the one of the envelope. `check_nothing_of`:
nothing of the reporter is in what a sender gets.

The second one has to live with names that are words: a reporter `may@` or `will@` must not stop every notice. So a
message is compared with its blank: the same templates about the same day, to nobody, about no case
(`Renderer.blank`). What the blank says too is no leak, however often a name looks like it; one occurrence more is.
For the same reason the recipient's own address is masked first: `olivera@` is no mention of `vera@`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from email import message_from_bytes
from email.errors import MessageError
from email.header import decode_header
from email.message import Message
from email.utils import getaddresses, parsedate_to_datetime

from stopit_core.errors import StopitError
from stopit_core.messages import HEADER_NAMES, Outgoing

__all__ = ["Leak", "Malformed", "Unsafe", "check_message", "check_nothing_of"]

_MAX_LINE = 998  # RFC 5322 section 2.1.1
_MIN_WORD = 3
_HEADER = re.compile(rb"([!-9;-~]+): (.+)")
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
    """Raise Malformed unless `outgoing.data` is one letter with our headers, each once, to `outgoing.recipient`."""
    data = outgoing.data
    lines = data.split(b"\r\n")
    _must(data.isascii() and b"\0" not in data, "it is not ASCII")
    _must(not any(b"\r" in line or b"\n" in line for line in lines), "a line end is not CRLF")
    _must(data.endswith(b"\r\n") and all(len(line) <= _MAX_LINE for line in lines), "a line is too long or not ended")
    raw_names = tuple(_names(data.partition(b"\r\n\r\n")[0]))
    message = message_from_bytes(data)
    _must(raw_names == HEADER_NAMES, "its headers are not the ones that belong there")
    _must(tuple(message.keys()) == HEADER_NAMES, "its headers read differently to another reader")
    _must(not message.is_multipart() and not message.defects, "it has parts or defects")
    _must(_addresses(message, "To") == [outgoing.recipient], "its recipient is not the one of the envelope")
    _must(_addresses(message, "Reply-To") == [outgoing.envelope_from], "its answers would go astray")
    _must(len(_addresses(message, "From")) == 1, "it has not one author")
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
    for pattern, what in _patterns(forbidden):
        for face, empty in zip(said, unsaid, strict=True):
            if len(pattern.findall(face)) > len(pattern.findall(empty)):
                raise Leak(f"a {outgoing.kind} (message {outgoing.ref}) holds {what}")


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


def _addresses(message: Message, name: str) -> list[str]:
    return [address for _, address in getaddresses([str(message[name])])]


def _is_date(value: str) -> bool:
    try:
        return parsedate_to_datetime(value).tzinfo is not None
    except (TypeError, ValueError):
        return False


def _patterns(forbidden: Iterable[str]) -> Iterator[tuple[re.Pattern[str], str]]:
    for given in forbidden:
        text = _folded(given.strip().strip("<>"))
        local, at, _ = text.rpartition("@")
        if at and local:
            # "anywhere" is looked for without regard to white space, which folding and wrapping may have put in
            yield re.compile(re.escape(text)), "an address or Message-ID"
        word = local if at else text
        if len(word) >= _MIN_WORD:
            yield re.compile(rf"(?<!\w){re.escape(word)}(?!\w)"), "a name"


def _faces(outgoing: Outgoing) -> tuple[str, ...]:
    """The ways in which a message can be read: as it travels, decoded, and decoded without any white space."""
    message = message_from_bytes(outgoing.data)
    heads = [f"{name}: {_decoded(str(value))}" for name, value in message.items()]
    payload = message.get_payload(decode=True)
    body = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else str(message.get_payload())
    recipient = _folded(outgoing.recipient)

    def masked(text: str) -> str:
        return _folded(text).replace(recipient, " … ") if recipient else _folded(text)

    raw = masked(outgoing.data.decode("latin-1"))
    read = masked("\n".join([*heads, "", body]))
    return raw, " ".join(read.split()), "".join(read.split())


def _decoded(value: str) -> str:
    try:
        parts = decode_header(value)
    except (MessageError, ValueError):
        return value
    words = (
        part.decode(charset or "latin-1", "replace") if isinstance(part, bytes) else part for part, charset in parts
    )
    return "".join(words)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
