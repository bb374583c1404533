"""From the text that a template gives to the lines of a mail: format=flowed (RFC 3676), at most 72 columns.

A flowed line that goes on ends in a space. A phone that knows the format fills its own narrow screen; every other
client shows the lines as they stand, which are short enough for it.

How a template is read: lines next to each other are one paragraph, an empty line ends it. A line that begins with
`- ` (an item), `| ` (a line of its own; the mark is dropped) or `> ` (a quotation) is not joined to the one before.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterator

__all__ = ["WIDTH", "clean", "flow"]

WIDTH = 72
_JOINERS = "\u200c\u200d"  # non-joiner and joiner: letters of several scripts need them
_UNWANTED = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
_ITEM, _LINE, _QUOTE = "- ", "| ", "> "


def clean(value: str, limit: int = 1000) -> str:
    """A value as it may stand in a message: one line, no control, format or lone surrogate characters (so no
    header, line or direction can be made with it), at most `limit` characters."""
    kept = (c if c in _JOINERS or unicodedata.category(c) not in _UNWANTED else " " for c in value[: 4 * limit])
    return " ".join("".join(kept).split())[:limit].rstrip()


def flow(text: str) -> str:
    """The text in flowed lines, each ended by one line feed. No two empty lines follow each other."""
    lines: list[str] = []
    for block in _blocks(text):
        if lines:
            lines.append("")
        for paragraph in block:
            lines += _fill(paragraph)
    return "\n".join(lines) + "\n"


def _blocks(text: str) -> Iterator[list[str]]:
    """Between empty lines: the paragraphs that follow each other without a gap."""
    block: list[str] = []
    for raw in [*text.split("\n"), ""]:
        line = raw.strip()
        if not line:
            if block:
                yield block
            block = []
        elif block and not line.startswith((_ITEM, _LINE, _QUOTE)) and not block[-1].startswith(_QUOTE):
            block[-1] += " " + line
        else:
            block.append(line)


def _fill(paragraph: str) -> list[str]:
    quoted = paragraph.startswith(_QUOTE)
    body = paragraph.removeprefix(_LINE) if not quoted else paragraph.removeprefix(_QUOTE)
    prefix = _QUOTE if quoted else ""
    room = WIDTH - len(prefix) - 2  # a space that says "goes on", and one for stuffing
    lines = textwrap.wrap(body, room, break_long_words=False, break_on_hyphens=False)
    flowing = [line + " " for line in lines[:-1]] + lines[-1:]
    return [prefix + line if quoted else _stuffed(line) for line in flowing]


def _stuffed(line: str) -> str:
    """Space-stuffing (RFC 3676 section 4.4): what would read as a quotation, or as mbox's separator, is kept text."""
    return " " + line if line.startswith((" ", ">", "From ")) else line
