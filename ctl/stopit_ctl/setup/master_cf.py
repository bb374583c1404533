"""master.cf as text: give a service a line of its own, put a milter first in an option, add a service. Pure.

A service begins at the start of a line and goes on in lines that begin with white space; lines of comment may stand
between them (master(5)).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from stopit_ctl.setup.snippets import BEGIN, END, MARK

__all__ = ["Entry", "add_option", "entry_of", "put_first", "without_options"]

_OPTION = r"-o\s*(?P<open>\{{?)\s*{name}\s*="


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a service stands: its first line, and its last that is no comment, from 0."""

    first: int
    last: int


def entry_of(text: str, service: str, kind: str) -> Entry:
    """The place of this service. Raises KeyError when there is none."""
    found = None
    for at, line in enumerate(text.split("\n")):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0].isspace():
            found = Entry(found.first, at) if found else None
        elif found:
            break
        elif line.split()[:2] == [service, kind]:
            found = Entry(at, at)
    if found is None:
        raise KeyError(f"{service}/{kind}")
    return found


def add_option(text: str, entry: Entry, mark: str, option: str) -> str:
    """The text with `option` as the last line of a service, below a mark."""
    lines = text.split("\n")
    lines[entry.last + 1 : entry.last + 1] = [mark, option]
    return "\n".join(lines)


def put_first(text: str, entry: Entry, name: str, word: str) -> str:
    """The text with `word` in front of the value of the option `name` of a service, which must have it."""
    lines = text.split("\n")
    body = "\n".join(lines[entry.first : entry.last + 1])
    *_, found = re.finditer(_OPTION.format(name=name), body)
    head, rest = body[: found.end()], body[found.end() :]
    put = _in_braces(word, rest) if found["open"] else (f"{word}," if rest[:1].strip() else word) + rest
    lines[entry.first : entry.last + 1] = (head + put).split("\n")
    return "\n".join(lines)


def without_options(text: str) -> str:
    """The text without the lines that stand below our marks, and without the marks."""
    kept: list[str] = []
    lines = iter(text.split("\n"))
    for line in lines:
        if line.startswith(MARK) and line not in (BEGIN, END):
            below = next(lines, None)
            if below is not None and not re.match(r"\s+-o\s*\{?\s*smtpd_milters\b", below):
                kept.append(below)
        else:
            kept.append(line)
    return "\n".join(kept)


def _in_braces(word: str, rest: str) -> str:
    """`rest` is what follows the `=` of an option in braces."""
    value = rest.lstrip()
    space = rest[: len(rest) - len(value)]
    if value.startswith("}"):
        return f" {word}{rest}" if space else f"{word}{rest}"
    if "\n" in space:
        return f" {word},{rest}"
    return f"{space}{word}, {value}"
