"""The message in hand: what the callbacks have collected of it so far.

A new one is made at each MAIL. What an ordinary message leaves as it is stands on the class and not on the object:
every message passes here, and most of it is never set.
"""

from __future__ import annotations

from stopit_core.decision.context import DecisionContext
from stopit_core.decision.disposition import Disposition, Precheck
from stopit_core.decision.transaction import Field, Transaction
from stopit_core.envelope import Envelope
from stopit_core.mail import Headers

__all__ = ["Message"]


class Message:
    """One message of a connection, under the context that it began with.

    `recipients` and `fields` are as libmilter gave them. `faulty` after a fault of ours in any step, `field_lost`
    after one that lost a header field. `field_bytes` counts the octets of header values. `spent` are the seconds
    that the MTA waited for us so far.
    """

    login = ""
    relay = False
    client = ""
    mail_from = ""
    queue_id = ""
    transaction: Transaction | None = None
    precheck: Precheck | None = None
    disposition: Disposition | None = None
    truncated = False
    faulty = False
    field_lost = False
    spent = 0.0
    field_bytes = 0

    def __init__(self, context: DecisionContext) -> None:
        self.context = context
        self.recipients: list[str] = []
        self.fields: list[Field] = []
        self.body = bytearray()

    def add_body(self, block: bytes) -> bool:
        """Keep what is looked at of a part of the body; False when there is no more to be looked at."""
        room = self.precheck.body_bytes - len(self.body) if self.precheck else 0
        self.body += block[:room]
        self.truncated = self.truncated or len(block) > room
        return not self.truncated

    def envelope(self) -> Envelope:
        """The envelope so far."""
        return Envelope(
            login=self.login,
            relay=self.relay,
            client=self.client,
            mail_from=self.mail_from,
            recipients=tuple(self.recipients),
            queue_id=self.queue_id,
        )

    def at_end_of_headers(self, now: float) -> Transaction:
        """The message, whose headers ended now."""
        fields = tuple(self.fields)
        return Transaction(self.envelope(), fields, Headers(fields), now)
