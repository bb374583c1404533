"""The MTA at the other end of a connection, as pymilter's C module (`milter`) shows it to a callback."""

from __future__ import annotations

from typing import Protocol

from stopit_milter.edits import Actions

__all__ = ["Mta", "macro"]


class Mta(Actions, Protocol):
    """`milter.milterContext`: each callback is given one, and it is good until the callback returns."""

    def getsymval(self, name: str) -> str | None:
        """A macro's value, None when the MTA did not give it. Raises UnicodeDecodeError when it is no UTF-8."""

    def setreply(self, code: str, extended: str, text: str) -> None:
        """What to say with a temporary or permanent failure."""


def macro(mta: Mta, name: str, unreadable: str = "") -> str:
    """A macro's value, "" when the MTA did not give it, `unreadable` when it is no UTF-8."""
    try:
        return mta.getsymval(name) or ""
    except UnicodeDecodeError:
        return unreadable
