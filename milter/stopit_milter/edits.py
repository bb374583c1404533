"""Apply the edits of a message, in the one order that is safe.

The MTA applies edits one at a time; when the milter crashes between two of them, the first stays applied. So the
recipients that must not get the message are removed before anything else, and the staff mailbox is added last.
"""

from __future__ import annotations

from typing import Protocol

from stopit_core.decision.disposition import Edits

__all__ = ["Mta", "apply", "macro"]


class Actions(Protocol):
    """The changes that an MTA takes at end of message (`Milter.Base`). Each raises when it cannot be made."""

    def delrcpt(self, rcpt: str) -> object:
        """Remove a recipient, by the exact string of its RCPT command."""

    def chgheader(self, field: str, idx: int, value: str | None) -> object:
        """Change the idx-th (from 1) header field of this name; None removes it."""

    def addheader(self, field: str, value: str) -> object:
        """Add a header field at the end."""

    def addrcpt(self, rcpt: str) -> object:
        """Add a recipient."""


def apply(edits: Edits, actions: Actions) -> None:
    """Apply the edits in the safe order. When one raises, the message must not be accepted."""
    for recipient in edits.removed_recipients:
        actions.delrcpt(recipient)
    for name, index in edits.removed_fields:
        actions.chgheader(name, index, None)
    for name, value in edits.added_fields:
        actions.addheader(name, value)
    for address in edits.added_recipients:
        actions.addrcpt(f"<{address}>")


class Mta(Actions, Protocol):
    """The `milter.milterContext` that each callback gets; valid until the callback returns."""

    def getsymval(self, name: str) -> str | None:
        """Return a macro's value, None when the MTA sent none. Raises UnicodeDecodeError when it is no UTF-8."""

    def setreply(self, code: str, extended: str, text: str) -> None:
        """Set the SMTP reply of a temporary or permanent failure."""


def macro(mta: Mta, name: str, unreadable: str = "") -> str:
    """Return a macro's value, "" when the MTA sent none, `unreadable` when it is no UTF-8."""
    try:
        return mta.getsymval(name) or ""
    except UnicodeDecodeError:
        return unreadable
