"""One message of a connection, from MAIL to the answer that ends it.

A new one is made at each MAIL. The values that an ordinary message leaves alone are class attributes: every message
passes here, and most of them are never set.
"""

from __future__ import annotations

from stopit_core.decision.collector import Collector
from stopit_core.decision.context import DecisionContext
from stopit_core.decision.disposition import Disposition
from stopit_core.envelope import Envelope

__all__ = ["Message"]


class Message(Collector):
    """A message with its envelope, under the context that was in force at MAIL.

    `recipients` are as libmilter passed them. `faulty` after a fault of ours in any step, `field_lost` after one that
    lost a header field. `spent`: the seconds that the MTA has waited for us so far.
    """

    login = ""
    relay = False
    client = ""
    mail_from = ""
    queue_id = ""
    disposition: Disposition | None = None
    faulty = False
    field_lost = False
    spent = 0.0

    def __init__(self, context: DecisionContext) -> None:
        super().__init__()
        self.context = context
        self.recipients: list[str] = []

    def envelope(self) -> Envelope:
        """Return the envelope so far."""
        return Envelope(
            login=self.login,
            relay=self.relay,
            client=self.client,
            mail_from=self.mail_from,
            recipients=tuple(self.recipients),
            queue_id=self.queue_id,
        )
