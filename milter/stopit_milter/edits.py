"""What is to be changed in a message, and the one order in which it is safe to do so.

The MTA applies edits one at a time, and a milter that dies between two leaves the half of them. So everybody who must
not get the message is removed before anything else happens; the staff mailbox is added last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from stopit_core.decision.transaction import Field

__all__ = ["Actions", "Edits", "apply", "forged_fields"]


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


@dataclass(frozen=True, slots=True)
class Edits:
    """Changes to one message. `removed_recipients` are exact RCPT strings; `removed_fields` are names with the
    position among the fields of that name (from 1), each highest first: removing one renumbers those after it."""

    removed_recipients: tuple[str, ...] = ()
    removed_fields: tuple[tuple[str, int], ...] = ()
    added_fields: tuple[tuple[str, str], ...] = ()
    added_recipients: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.removed_recipients or self.removed_fields or self.added_fields or self.added_recipients)


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


def forged_fields(fields: Iterable[Field], prefix: str) -> tuple[tuple[str, int], ...]:
    """The fields whose name begins with `prefix` (any case), as `Edits.removed_fields` wants them."""
    folded = prefix.lower()
    seen: Counter[str] = Counter()
    found: list[tuple[str, int]] = []
    for name, _ in fields:
        key = name.strip().lower()
        if key.startswith(folded):
            seen[key] += 1
            found.append((key, seen[key]))
    return tuple(reversed(found))
