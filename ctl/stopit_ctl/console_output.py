"""The output of a command: tables and wrapped lines on a terminal, plain lines for other programs in a pipe.

Much of the output comes from mail, so only printable characters reach the terminal: an escape sequence in a server's
error message must not clear the screen, and a right-to-left mark must not reverse an address.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["ConsoleOutput", "duration", "local_time", "printable"]

_GAP = "  "


class ConsoleOutput:
    """Standard output and standard error of one run. Colours only on a terminal, and not with $NO_COLOR."""

    def __init__(self) -> None:
        self._out = Console(markup=False, emoji=False, highlight=False)
        self._err = Console(markup=False, emoji=False, highlight=False, stderr=True)

    def line(self, text: str = "", style: str = "") -> None:
        """Print a line of prose; a terminal wraps it between words."""
        _print(self._out, printable(text), style)

    def text(self, text: str) -> None:
        """Print text of several lines without wrapping it."""
        for line in text.splitlines():
            self._out.print(Text(printable(line)), soft_wrap=True)

    def error(self, text: str) -> None:
        """Print a line on standard error: what is wrong, and what to do."""
        _print(self._err, printable(text), "red")

    def status(self, status: str, text: str, style: str, is_fault: bool) -> None:
        """Print a line that begins with a status; on standard error for a fault."""
        console = self._err if is_fault else self._out
        if not console.is_terminal:
            _print(console, f"{status:<8}{printable(text)}", "")
            return
        grid = Table.grid(padding=(0, 1))
        grid.add_column(no_wrap=True, min_width=7)
        grid.add_column(overflow="fold")
        grid.add_row(Text(status, style), Text(printable(text)))
        console.print(grid)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print rows under column names. A terminal wraps every cell that is too long but the first of a row."""
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

    def fields(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Print names and values, a pair a line; pairs with an empty value are left out."""
        shown = [(name, value) for name, value in pairs if value]
        width = max((len(name) for name, _ in shown), default=0)
        for name, value in shown:
            self._out.print(Text(f"{name:<{width}}{_GAP}{printable(value)}"), soft_wrap=True)


def printable(text: str) -> str:
    """Return the text with every character escaped that is not printable."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def local_time(at: float | None) -> str:
    """Format seconds since the epoch in this host's time zone; "" for None and 0."""
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S") if at else ""


def duration(seconds: float) -> str:
    """Format a length of time: "45 s", "12 min", "3 h", "5 d"."""
    for unit, size, limit in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172800)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def _print(console: Console, text: str, style: str) -> None:
    console.print(Text(text, style), soft_wrap=not console.is_terminal)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [_GAP.join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
