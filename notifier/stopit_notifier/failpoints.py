"""The failpoints of the notifier: named points between two effects, at which a crash must do no harm.

Intake and outbox call a hook at each of them. In service the hook is `no_failpoint`. The crash tests pass one that
kills the process, so that every gap between two effects is tested, and not only those that a random moment hits.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

__all__ = ["Failpoint", "FailpointHook", "no_failpoint"]


class Failpoint(StrEnum):
    """A point between two effects.

    Intake passes REPORT_CLAIMED to ACKNOWLEDGED, in this order, for a batch of reports: the first for each report,
    the others once. The outbox passes MESSAGE_CLAIMED to WATCHED for a message. For a batch it passes those up to
    ACCEPTED for each message, on several connections, and the others once for all messages that the MTA accepted.
    RECOVERING and RECOVERED are for a message that a crash left half-sent.
    """

    REPORT_CLAIMED = "report-claimed"
    """The queue handed out the report; nothing is written."""
    ORIGINALS_FOUND = "originals-found"
    """The ledger was asked; nothing is written."""
    BEFORE_COMMIT = "before-commit"
    """The case transaction is complete but for its commit."""
    AFTER_COMMIT = "after-commit"
    """The case record has the report; the queue does not know it yet."""
    ACKNOWLEDGED = "acknowledged"
    """The report has left the queue."""

    MESSAGE_CLAIMED = "message-claimed"
    """The message is committed as `sending`; no connection is used yet."""
    CONNECTED = "connected"
    """The MTA greeted, or an open connection answered."""
    RECIPIENT_ACCEPTED = "recipient-accepted"
    """MAIL and RCPT were accepted; the claim is not checked yet."""
    BEFORE_DATA = "before-data"
    """The claim holds; DATA is sent next."""
    BEFORE_DOT = "before-dot"
    """The whole message was sent but for the final dot: the MTA cannot have accepted it."""
    AFTER_DOT = "after-dot"
    """The dot was sent, the reply is not read: the MTA may have accepted it."""
    ACCEPTED = "accepted"
    """The MTA's 250 was read; the record still says `sending`."""
    BEFORE_MARK = "before-mark"
    """The transaction that marks it sent (and watches its pairs) is complete but for its commit."""
    MARKED_SENT = "marked-sent"
    """The record says `sent`; the ledger does not watch the pairs yet."""
    WATCHED = "watched"
    """The ledger watches the pairs of the notice, if it is one."""
    RECOVERING = "recovering"
    """The ledger was asked about an interrupted message; the record still says `sending`."""
    RECOVERED = "recovered"
    """The record has the result of the recovery."""


FailpointHook = Callable[[Failpoint], None]
"""Is called at every failpoint with its name."""


def no_failpoint(_failpoint: Failpoint) -> None:
    """Do nothing: the hook in service."""
