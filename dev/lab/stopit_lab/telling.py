"""How the demo tells its story: scenes, mail as its reader sees it, and claims that are checked when they are made.

80 columns; plain text where the output is no terminal.
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

__all__ = ["NotSo", "Teller"]

_WIDTH = 80


class NotSo(Exception):
    """A claim of the story did not come true."""


class Teller:
    """Tells a story on a console, and counts the claims that came true."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        if self._console.width > _WIDTH or not self._console.is_terminal:
            self._console.width = _WIDTH
        self._scene = 0
        self.claims = 0

    def scene(self, title: str) -> None:
        """A new scene."""
        self._scene += 1
        self._console.print()
        self._console.print(Rule(f"[bold]{self._scene}. {escape(title)}", align="left", style="cyan"))

    def say(self, text: str) -> None:
        """A sentence or two."""
        self._console.print(Text(text))

    def claim(self, text: str, truth: bool) -> None:
        """What is said to be true, with a mark. Raises NotSo when it is not."""
        if not truth:
            self._console.print(Text(f"✗ {text}", style="bold red"))
            raise NotSo(text)
        self.claims += 1
        self._console.print(Text.assemble(("✓ ", "bold green"), text))

    def mail(self, title: str, message: Received, headers: Sequence[str], own_words: bool = True) -> None:
        """A message with these headers, and the text that its reader sees."""
        shown = Text()
        for name in headers:
            shown.append(f"{name}: ", style="dim")
            shown.append(f"{message.header(name)}\n")
        if own_words:
            shown.append(f"\n{message.text.strip()}")
        shown.rstrip()
        self._console.print(Panel(shown, title=escape(title), title_align="left", border_style="dim"))

    def verbatim(self, text: str) -> None:
        """What a program printed; a line that is too long goes on further in."""
        for line in text.rstrip().splitlines():
            begin = "  " + " " * (len(line) - len(line.lstrip()))
            wrapped = textwrap.wrap(line.strip(), _WIDTH, initial_indent=begin, subsequent_indent=begin + "      ")
            self._console.print(Text("\n".join(wrapped)))

    def figures(self, rows: Sequence[tuple[str, str]]) -> None:
        """Names and their values."""
        table = Table(box=None, show_header=False, padding=(0, 2))
        table.add_column(overflow="fold")
        table.add_column(justify="right")
        for name, value in rows:
            table.add_row(Text(name), Text(value))
        self._console.print(table)

    def line(self, text: str) -> None:
        """A line that must stay whole, so that it can be copied."""
        self._console.print(Text(text), soft_wrap=True)
