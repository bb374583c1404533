"""What is to be changed in a message, and the one order in which it is safe to do so.

The MTA applies edits one at a time, and a milter that dies between two leaves the half of them. So everybody who must
not get the message is removed before anything else happens; the staff mailbox is added last.
"""

from __future__ import annotations

from typing import Protocol

from stopit_core.decision.disposition import Edits

__all__ = ["Actions", "Mta", "apply", "macro"]


class Actions(Protocol):
    """The changes that an MTA takes at end of message; each raises when it could not be made (`Milter.Base`)."""

    def delrcpt(self, rcpt: str) -> object:
        """Remove a recipient, by the exact string of its RCPT command."""

    def chgheader(self, field: str, idx: int, value: str | None) -> object:
        """Change the idx-th (from 1) header field of this name; None removes it."""

    def addheader(self, field: str, value: str) -> object:
        """Add a header field at the end."""

    def addrcpt(self, rcpt: str) -> object:
        """Add a recipient."""


def apply(edits: Edits, actions: Actions) -> None:
    """Make the changes, in the safe order. The first that fails ends it: the message must not be accepted then."""
    for recipient in edits.removed_recipients:
        actions.delrcpt(recipient)
    for name, index in edits.removed_fields:
        actions.chgheader(name, index, None)
    for name, value in edits.added_fields:
        actions.addheader(name, value)
    for address in edits.added_recipients:
        actions.addrcpt(f"<{address}>")


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
