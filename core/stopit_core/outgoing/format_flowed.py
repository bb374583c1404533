"""Format the output of a template as lines of a mail: format=flowed (RFC 3676), at most 72 columns.

A flowed line that continues ends in a space. A client that supports the format, such as on a phone, fills its own
width; every other client shows the lines unchanged, which are short enough for it.

How a template is read: adjacent lines are one paragraph, an empty line ends it. A line that begins with `- ` (an
item), `| ` (a separate line; the mark is removed) or `> ` (a quotation) is not joined to the line before.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterator

__all__ = ["WIDTH", "clean", "flow"]

WIDTH = 72
_JOINERS = "\u200c\u200d"  # non-joiner and joiner: several scripts need them
_UNWANTED = frozenset(("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"))
_ITEM, _LINE, _QUOTE = "- ", "| ", "> "


def clean(value: str, limit: int = 1000) -> str:
    """Return a value in a form that a message may contain: one line, no control, format or lone surrogate characters
    (so it cannot create a header, a line or a change of direction), at most `limit` characters."""
    kept = (c if c in _JOINERS or unicodedata.category(c) not in _UNWANTED else " " for c in value[: 4 * limit])
    return " ".join("".join(kept).split())[:limit].rstrip()


def flow(text: str) -> str:
    """Return the text in flowed lines, each ended by one line feed. Never two empty lines in a row."""
    lines: list[str] = []
    for block in _blocks(text):
        if lines:
            lines.append("")
        for paragraph in block:
            lines += _fill(paragraph)
    return "\n".join(lines) + "\n"


def _blocks(text: str) -> Iterator[list[str]]:
    """Yield the text between empty lines: a list of paragraphs without a gap between them."""
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
    room = WIDTH - len(prefix) - 2  # a space that marks a continuation, and one for stuffing
    lines = textwrap.wrap(body, room, break_long_words=False, break_on_hyphens=False)
    flowing = [line + " " for line in lines[:-1]] + lines[-1:]
    return [prefix + line if quoted else _stuffed(line) for line in flowing]


def _stuffed(line: str) -> str:
    """Return the line with space-stuffing (RFC 3676 section 4.4) if it would be read as a quotation or as mbox's
    separator."""
    return " " + line if line.startswith((" ", ">", "From ")) else line
