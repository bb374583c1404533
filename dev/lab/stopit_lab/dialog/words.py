"""The words of the language: people, addresses, lists, and references to messages."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection

from stopit_lab.people import REPORT, STAFF, Cast

__all__ = [
    "AUTHORS",
    "NOUNS",
    "PEOPLE",
    "PLACEHOLDER",
    "READERS",
    "address",
    "address_name",
    "did_you_mean",
    "reference",
    "split_list",
    "split_quoted",
]

PEOPLE = ("mallory", "vera", "walt", "bob", "eve", "olga")
READERS = (*PEOPLE, "staff")
AUTHORS = (*PEOPLE, "gone")
_ADDRESSES = (*READERS, "gone", "everyone", "m.mallory", "stopit")
NOUNS = ("reply", "answer", "forward", "notice", "acknowledgement", "alert", "copy")
"""What a message is called that got no name of its own: "the reply", "vera's reply"."""

PLACEHOLDER = re.compile(r"\{([A-Za-z][A-Za-z0-9 .'-]*)\}")
"""`{vera}` is an address, `{original.Message-ID}` a header of a message, `{case}` a case's number."""

_QUOTED = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^,"]+?))\s*(?:,|$)')
_NAME = re.compile(r"[a-z][a-z0-9-]*")


def did_you_mean(word: str, known: Collection[str]) -> str:
    """Return a sentence with the nearest known word, or with all of them when none is near."""
    near = difflib.get_close_matches(word, known, 1, 0.6)
    return f"did you mean {near[0]}?" if near else f"known here: {', '.join(known) or 'none'}"


def split_list(text: str) -> tuple[str, ...]:
    """Return the parts of "vera, walt and bob"."""
    return tuple(part for part in re.split(r"\s*,\s*(?:and\s+)?|\s+and\s+", text.strip()) if part)


def split_quoted(text: str) -> list[tuple[str, bool]]:
    """Return the parts of `bounced, "with, a comma"` and whether each was quoted. Raises ValueError."""
    parts: list[tuple[str, bool]] = []
    place = 0
    while place < len(text):
        found = _QUOTED.match(text, place)
        if found is None:
            raise ValueError(f"not a list: {text}")
        quoted = found[1] is not None
        parts.append((re.sub(r"\\(.)", r"\1", found[1]) if quoted else found[2], quoted))
        place = found.end()
    return parts


def address_name(text: str) -> str | None:
    """Return the name in an address such as `vera`, `VERA` or `vera+work`; None when it is a whole address.

    Raises ValueError that says what is right.
    """
    if "@" in text or PLACEHOLDER.fullmatch(text):
        return None
    name = text.partition("+")[0].lower()
    if name not in _ADDRESSES:
        raise ValueError(f"there is no {text} to send to; {did_you_mean(name, _ADDRESSES)}")
    return name


def address(cast: Cast, text: str) -> str:
    """Return the address that a name stands for in this cast: `VERA` is the same one in capitals."""
    name = address_name(text)
    if name is None:
        return text
    others = {"staff": STAFF, "stopit": REPORT, "m.mallory": cast.mallory_alias}
    found = others.get(name) or str(getattr(cast, name))
    local, _, domain = found.partition("@")
    _, plus, tag = text.partition("+")
    if text[0].isupper():
        local, domain = local.upper(), domain.title()
    return f"{local}{plus}{tag}@{domain}"


def reference(text: str) -> str:
    """Return a reference to a message in its one spelling: `original`, `the reply`, `vera's reply`.

    Raises ValueError when it is none.
    """
    words = text.split()
    if len(words) == 1 and words[0] in NOUNS:
        return f"the {words[0]}"
    if len(words) == 1 and _NAME.fullmatch(words[0]):
        return words[0]
    if len(words) == 2 and words[1] in NOUNS and (words[0] == "the" or words[0].endswith("'s")):
        return " ".join(words)
    raise ValueError(f"{text!r} names no message; write its name, or such as: the reply, vera's reply")
