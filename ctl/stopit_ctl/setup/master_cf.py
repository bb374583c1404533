"""Edits the text of master.cf: adds an option to a service, puts a milter first in an option, removes both. Pure.

A service begins at the start of a line and continues in lines that begin with white space, also after lines of
comment (master(5)).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from stopit_ctl.setup.snippets import BEGIN, END, MARK

__all__ = ["add_option", "entry_of", "put_first", "without_options"]

_OPTION = r"-o\s*(?P<open>\{{?)\s*{name}\s*="


@dataclass(frozen=True, slots=True)
class Entry:
    """The place of a service: its first line, and its last line that is not a comment, counted from 0."""

    first: int
    last: int


def entry_of(text: str, name: str, type_: str) -> Entry:
    """Find a service by its name and type. Raises KeyError without one."""
    found = None
    for at, line in enumerate(text.split("\n")):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0].isspace():
            found = Entry(found.first, at) if found else None
        elif found:
            break
        elif line.split()[:2] == [name, type_]:
            found = Entry(at, at)
    if found is None:
        raise KeyError(f"{name}/{type_}")
    return found


def add_option(text: str, entry: Entry, mark: str, option: str) -> str:
    """Return the text with `option`, below a mark, added as the last line of a service."""
    lines = text.split("\n")
    lines[entry.last + 1 : entry.last + 1] = [mark, option]
    return "\n".join(lines)


def put_first(text: str, entry: Entry, name: str, word: str) -> str:
    """Return the text with `word` added in front of the value of the option `name`, which the service must have."""
    lines = text.split("\n")
    body = "\n".join(lines[entry.first : entry.last + 1])
    *_, found = re.finditer(_OPTION.format(name=name), body)
    head, rest = body[: found.end()], body[found.end() :]
    put = _in_braces(word, rest) if found["open"] else (f"{word}," if rest[:1].strip() else word) + rest
    lines[entry.first : entry.last + 1] = (head + put).split("\n")
    return "\n".join(lines)


def without_options(text: str) -> str:
    """Return the text without our marks and the lines that they mark."""
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
    """Add `word` to the value of an option in braces. `rest`: the text after its `=`."""
    value = rest.lstrip()
    space = rest[: len(rest) - len(value)]
    if value.startswith("}"):
        return f" {word}{rest}" if space else f"{word}{rest}"
    if "\n" in space:
        return f" {word},{rest}"
    return f"{space}{word}, {value}"
