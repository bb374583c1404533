"""The output of the demo: scenes, mail as its reader sees it, and claims that are checked.

80 columns; plain text if the output is no terminal.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from stopit_lab.mailbox import Received

__all__ = ["ClaimError", "Narrator"]

_WIDTH = 80


class ClaimError(Exception):
    """A claim of the story does not hold."""


class Narrator:
    """Prints a story on a console, and counts the claims that hold."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        if self._console.width > _WIDTH or not self._console.is_terminal:
            self._console.width = _WIDTH
        self._scene = 0
        self.claims = 0

    def scene(self, title: str) -> None:
        """Begin a new scene."""
        self._scene += 1
        self._console.print()
        self._console.print(Rule(f"[bold]{self._scene}. {escape(title)}", align="left", style="cyan"))

    def say(self, text: str) -> None:
        """Print a sentence or two."""
        self._console.print(Text(text))

    def claim(self, text: str, truth: bool) -> None:
        """Print a claim with a mark. Raises ClaimError if it does not hold."""
        if not truth:
            self._console.print(Text(f"✗ {text}", style="bold red"))
            raise ClaimError(text)
        self.claims += 1
        self._console.print(Text.assemble(("✓ ", "bold green"), text))

    def mail(self, title: str, message: Received, headers: Sequence[str], own_words: bool = True) -> None:
        """Print a message: these header fields, and the text that its reader sees."""
        shown = Text()
        for name in headers:
            shown.append(f"{name}: ", style="dim")
            shown.append(f"{message.header(name)}\n")
        if own_words:
            shown.append(f"\n{message.text.strip()}")
        shown.rstrip()
        self._console.print(Panel(shown, title=escape(title), title_align="left", border_style="dim"))

    def verbatim(self, text: str) -> None:
        """Print the output of a program. A line that is too long continues further indented."""
        for line in text.rstrip().splitlines():
            begin = "  " + " " * (len(line) - len(line.lstrip()))
            wrapped = textwrap.wrap(line.strip(), _WIDTH, initial_indent=begin, subsequent_indent=begin + "      ")
            self._console.print(Text("\n".join(wrapped)))

    def figures(self, rows: Sequence[tuple[str, str]]) -> None:
        """Print names and their values."""
        table = Table(box=None, show_header=False, padding=(0, 2))
        table.add_column(overflow="fold")
        table.add_column(justify="right")
        for name, value in rows:
            table.add_row(Text(name), Text(value))
        self._console.print(table)

    def line(self, text: str) -> None:
        """Print a line unwrapped, so that it can be copied."""
        self._console.print(Text(text), soft_wrap=True)
