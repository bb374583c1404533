"""Header fields as one immutable, ordered list. Values are cleaned when they are read.

The input is hostile: folds, control characters (pymilter passes CR LF through), values of 245 kB, octets that are not
UTF-8. The output is one line for each value, without control characters, of bounded length. Octets that are not UTF-8
stay as surrogate escapes, so that a Message-ID can be digested octet for octet.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from email.utils import getaddresses
from itertools import islice
from types import MappingProxyType

__all__ = ["MAX_HEADERS", "VALUE_CHARACTERS", "Headers", "addresses_in", "message_ids"]

MAX_HEADERS = 1000
"""Maximum number of header fields that are read."""
VALUE_CHARACTERS = 64 * 1024
"""Maximum length of a value; the rest is cut off."""
_ADDRESS_CHARACTERS = 8 * 1024

_USUAL: Mapping[str | bytes, str] = MappingProxyType(
    {
        name: name.lower()
        for name in (
            "Received",
            "Return-Path",
            "Delivered-To",
            "DKIM-Signature",
            "ARC-Seal",
            "ARC-Message-Signature",
            "ARC-Authentication-Results",
            "Authentication-Results",
            "Received-SPF",
            "Date",
            "From",
            "Sender",
            "Reply-To",
            "To",
            "Cc",
            "Subject",
            "Message-ID",
            "Message-Id",
            "In-Reply-To",
            "References",
            "MIME-Version",
            "Mime-Version",
            "Content-Type",
            "Content-Transfer-Encoding",
            "Content-Language",
            "User-Agent",
            "X-Mailer",
            "Thread-Topic",
            "Thread-Index",
            "Accept-Language",
            "Feedback-ID",
            "List-Id",
            "List-Unsubscribe",
            "List-Unsubscribe-Post",
            "Precedence",
            "Auto-Submitted",
            "X-Spam-Status",
            "X-Virus-Scanned",
        )
    }
)
"""Common names and their look-up keys, so that these need not be computed."""

_FOLD = re.compile(r"\r?\n(?=[ \t])")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LONE_SURROGATE = re.compile("[\ud800-\udc7f\udd00-\udfff]")
_BRACKETED = re.compile(r"<([^<>]+)>")


class Headers:
    """Header fields in the order of the message, found by name without regard to case.

    Created from (name, value) pairs of str (octets that are not UTF-8 as surrogate escapes) or bytes. A value is
    cleaned only when it is read: of an ordinary message that is four or five values.
    """

    __slots__ = ("_clean", "_found", "_pairs")

    def __init__(self, pairs: Iterable[tuple[str | bytes, str | bytes]] = ()) -> None:
        self._pairs = tuple(islice(pairs, MAX_HEADERS))
        self._clean: dict[str, tuple[str, ...]] = {}
        self._found: dict[str, list[str | bytes]] = {}
        found = self._found
        for name, value in self._pairs:
            key = _USUAL.get(name) or _key(name)
            if key in found:
                found[key].append(value)
            else:
                found[key] = [value]

    def first(self, name: str) -> str | None:
        """Return the value of the topmost field with this name, None if there is none."""
        found = self.all(name)
        return found[0] if found else None

    def all(self, name: str) -> tuple[str, ...]:
        """Return the values of every field with this name, topmost first."""
        key = name.lower()
        raw = self._found.get(key)
        if raw is None:
            return ()
        clean = self._clean.get(key)
        if clean is None:
            clean = self._clean[key] = tuple([_clean(value).strip() for value in raw])
        return clean

    def any_of(self, keys: frozenset[str]) -> bool:
        """Return whether there is a field with one of these names, which are in lower case."""
        return not keys.isdisjoint(self._found)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._found

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((_clean(name).strip(), _clean(value).strip()) for name, value in self._pairs)

    def __len__(self) -> int:
        return len(self._pairs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"Headers({len(self)} fields)"


def message_ids(value: str) -> tuple[str, ...]:
    """Return the ids in a Message-ID, In-Reply-To or References value (RFC 5322 section 3.6.4), without angle
    brackets.

    The text between the brackets is returned octet for octet. For a value without any bracket, return its words that
    contain an "@", or its only word: some clients omit the brackets.
    """
    bracketed = tuple(inner for found in _BRACKETED.findall(value[:VALUE_CHARACTERS]) if (inner := found.strip()))
    if bracketed or "<" in value:
        return bracketed
    words = value[:VALUE_CHARACTERS].split()
    return tuple(word for word in words if "@" in word) or (tuple(words) if len(words) == 1 else ())


def addresses_in(value: str) -> tuple[str, ...]:
    """Return the addr-specs in an address header (RFC 5322 section 3.4) unchanged. Reads at most 8 kB."""
    try:
        return tuple(address for _, address in getaddresses([value[:_ADDRESS_CHARACTERS]]) if "@" in address)
    except Exception:  # noqa: BLE001  third-party parser, hostile input (RecursionError, IndexError)
        return ()


def _key(raw: str | bytes) -> str:
    """Return the look-up key of a name."""
    if isinstance(raw, str) and raw.isascii() and raw.isprintable():
        return raw.strip().lower()
    return _clean(raw).strip().lower()


def _clean(raw: str | bytes) -> str:
    """Return the value as one line of text without control characters."""
    if isinstance(raw, bytes):
        text = raw[:VALUE_CHARACTERS].decode("utf-8", "surrogateescape")
    else:
        text = raw[:VALUE_CHARACTERS]
    if text.isascii():
        return text if text.isprintable() else _strip_controls(text)
    # The same octets must become the same text, however the MTA's library decoded them.
    text = _LONE_SURROGATE.sub("?", text).encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    return _strip_controls(text)


def _strip_controls(text: str) -> str:
    return _CONTROL.sub("", _FOLD.sub("", text).replace("\t", " "))
