"""The result of an attempt to send one message."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["CALLED_OFF", "SENT", "SendResult", "SendStatus"]


class SendStatus(Enum):
    """The state of a message after an attempt. A copy may be on its way only with UNANSWERED and HUNG."""

    SENT = "sent"
    """The MTA accepted the message."""
    CALLED_OFF = "called off"
    """The caller's check forbade it before DATA: nothing was sent."""
    DEFERRED = "deferred"
    """A temporary fault (4yz, or no connection): nothing was sent, and another attempt may succeed."""
    REFUSED = "refused"
    """A permanent fault (5yz, or a message that may not leave): nothing was sent, and no attempt will succeed."""
    UNANSWERED = "unanswered"
    """The final dot was sent and the connection ended without a reply: the MTA has the message, or not."""
    HUNG = "hung"
    """The final dot was sent, and the MTA was still connected at the deadline: it may accept the message later."""


@dataclass(frozen=True, slots=True)
class SendResult:
    """The status of an attempt, and for an attempt that failed the MTA's reply or the fault."""

    status: SendStatus
    error: str = ""

    @property
    def sent(self) -> bool:
        """True if the MTA accepted the message."""
        return self.status is SendStatus.SENT


SENT = SendResult(SendStatus.SENT)
CALLED_OFF = SendResult(SendStatus.CALLED_OFF)
