"""The report of a dialog that failed: its text with the line marked, what was expected, and what there is instead."""

from __future__ import annotations

from collections.abc import Iterable

from stopit_lab.dialog.steps import Dialog
from stopit_lab.mailbox import Received

__all__ = ["DialogFailed", "Unmet", "show_failure", "show_message"]

_TEXT_LINES = 12
_WIDTH = 100


class Unmet(AssertionError):
    """A line that did not come true: what was expected, and what was found instead."""

    def __init__(self, expected: str, instead: str, line: int = 0) -> None:
        super().__init__(f"expected: {expected}\ninstead: {instead}")
        self.expected = expected
        self.instead = instead
        self.line = line


class DialogFailed(AssertionError):
    """A dialog that did not come true."""


def show_failure(dialog: Dialog, where: str, unmet: Unmet) -> str:
    """Return the whole report. `where` says what kind of site it was."""
    lines = dialog.text.splitlines()
    marked = [f"{'>' if number == unmet.line else ' '} {number:3}  {line}" for number, line in enumerate(lines, 1)]
    head = f"{dialog.name}, line {unmet.line}, {where}"
    return "\n".join(
        [
            head,
            "",
            *(line.rstrip() for line in marked),
            "",
            f"expected: {unmet.expected}",
            f"instead:  {unmet.instead}",
        ]
    )


def show_message(number: int, message: Received, what: str, whole: bool) -> Iterable[str]:
    """Yield the lines that show one message of a mailbox: who it is from, and if `whole` how its text begins."""
    yield f'  {number}. {what}: "{message.subject}" from {message.header("From")}'
    text = message.text.strip().splitlines() if whole else []
    for line in text[:_TEXT_LINES]:
        yield f"     | {line if len(line) <= _WIDTH else line[:_WIDTH] + '...'}".rstrip()
    if len(text) > _TEXT_LINES:
        yield f"     ({len(text) - _TEXT_LINES} more lines)"
