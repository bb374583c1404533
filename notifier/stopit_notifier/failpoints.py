"""The points between two effects of the notifier, by name: where it may be killed and nothing may go wrong.

Intake and outbox call their failpoint at each one. In service that is `no_failpoint`; the tests of a crash hand in
one that kills the process there, so that every gap between two effects is tried and not only those that a random
moment hits.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

__all__ = ["Failpoint", "FailpointHook", "no_failpoint"]


class Failpoint(StrEnum):
    """A point between two effects.

    Intake passes REPORT_CLAIMED to ACKNOWLEDGED, in this order, for a report; for flags that are decided together
    the first for each of them, and the others once. The outbox passes MESSAGE_CLAIMED to WATCHED for a message; for a
    batch those up to ACCEPTED for each message, side by side, and the others once for all that the MTA took. SETTLING
    and RECOVERED are for a message that a crash left half-sent.
    """

    REPORT_CLAIMED = "report-claimed"
    """The queue handed a report out; nothing is written."""
    ORIGINALS_FOUND = "originals-found"
    """The ledger was asked; nothing is written."""
    BEFORE_COMMIT = "before-commit"
    """The case transaction is complete but for its commit."""
    AFTER_COMMIT = "after-commit"
    """The case record has it; the queue doesn't know yet."""
    ACKNOWLEDGED = "acknowledged"
    """The report has left the queue."""

    MESSAGE_CLAIMED = "message-claimed"
    """The message is committed as `sending`; no connection is used yet."""
    CONNECTED = "connected"
    """The MTA greeted, or an open connection answered."""
    RECIPIENT_ACCEPTED = "recipient-accepted"
    """MAIL and RCPT were accepted; whether the claim still holds is not asked yet."""
    BEFORE_DATA = "before-data"
    """The claim holds; DATA is the next thing to go out."""
    BEFORE_DOT = "before-dot"
    """The whole message went out but for the final dot: the MTA cannot have taken it."""
    AFTER_DOT = "after-dot"
    """The dot went out, the answer is not read: the MTA may have taken it."""
    ACCEPTED = "accepted"
    """The MTA's 250 was read; the record still says `sending`."""
    BEFORE_MARK = "before-mark"
    """The transaction that marks it sent (and watches its pairs) is complete but for its commit."""
    MARKED_SENT = "marked-sent"
    """The record says `sent`; the ledger doesn't watch the pairs yet."""
    WATCHED = "watched"
    """The ledger watches the pairs of the notice, if it is one."""
    RECOVERING = "recovering"
    """An interrupted message was looked for in the ledger; the record still says `sending`."""
    RECOVERED = "recovered"
    """What the ledger said is on record."""


FailpointHook = Callable[[Failpoint], None]
"""Called at every failpoint with its name."""


def no_failpoint(_failpoint: Failpoint) -> None:
    """The failpoint in service: nothing."""
