"""What a command prints: tables and wrapped lines on a terminal, plain lines that other programs can read in a pipe.

Much of what is shown comes from mail, so nothing reaches the terminal but printable characters: an escape sequence
in an error message of some server must not clear the screen, and a right-to-left mark must not turn an address round.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["Screen", "duration", "local_time", "printable"]

_GAP = "  "


class Screen:
    """Standard output and standard error of one run. Colours only on a terminal, and not with $NO_COLOR."""

    def __init__(self) -> None:
        self._out = Console(markup=False, emoji=False, highlight=False)
        self._err = Console(markup=False, emoji=False, highlight=False, stderr=True)

    def line(self, text: str = "", style: str = "") -> None:
        """A line for the reader; wrapped at words on a terminal, as it is in a pipe."""
        _put(self._out, printable(text), style)

    def text(self, text: str) -> None:
        """Text of several lines, as it stands."""
        for line in text.splitlines():
            self._out.print(Text(printable(line)), soft_wrap=True)

    def complain(self, text: str) -> None:
        """A line on standard error: what is wrong, and what to do."""
        _put(self._err, printable(text), "red")

    def state(self, state: str, text: str, style: str, wrong: bool) -> None:
        """A line that begins with how something is; on standard error when it is wrong."""
        console = self._err if wrong else self._out
        if not console.is_terminal:
            _put(console, f"{state:<8}{printable(text)}", "")
            return
        grid = Table.grid(padding=(0, 1))
        grid.add_column(no_wrap=True, min_width=7)
        grid.add_column(overflow="fold")
        grid.add_row(Text(state, style), Text(printable(text)))
        console.print(grid)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Rows under column names. On a terminal cells wrap where they must, but for the first of a row."""
        cells = [[printable(cell) for cell in row] for row in rows]
        if not self._out.is_terminal:
            for line in _aligned([list(columns), *cells]):
                self._out.print(Text(line), soft_wrap=True)
            return
        table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
        for at, column in enumerate(columns):
            table.add_column(column, no_wrap=at == 0, overflow="fold")
        for row in cells:
            table.add_row(*map(Text, row))
        self._out.print(table)

    def facts(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Names and values, one pair a line; pairs without a value are left out."""
        shown = [(name, value) for name, value in pairs if value]
        width = max((len(name) for name, _ in shown), default=0)
        for name, value in shown:
            self._out.print(Text(f"{name:<{width}}{_GAP}{printable(value)}"), soft_wrap=True)


def printable(text: str) -> str:
    """The text with everything that is no printable character escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def local_time(at: float | None) -> str:
    """Seconds since the epoch in this host's own time; "" for None and 0."""
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S") if at else ""


def duration(seconds: float) -> str:
    """A length of time for people: "45 s", "12 min", "3 h", "5 d"."""
    for unit, size, limit in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172800)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def _put(console: Console, text: str, style: str) -> None:
    console.print(Text(text, style), soft_wrap=not console.is_terminal)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [_GAP.join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
