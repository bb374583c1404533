"""A message as it comes in, step by step, kept under the caps that hold for every message.

The milter fills a `Collector` from its callbacks. Who has the whole message uses `collected`, which takes the same
steps, so that both decide on the same octets. Pure: no I/O and no clock.

    add_field*  ->  end_headers: the `Precheck`  ->  add_body*, as far as the precheck asks for it  ->  whole
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import structs

from stopit_core.decision.context import DecisionContext
from stopit_core.decision.disposition import Precheck, precheck
from stopit_core.decision.transaction import Field, Transaction
from stopit_core.envelope import Envelope
from stopit_core.mail import Headers

__all__ = ["FIELD_BYTES", "Collector", "collected"]

FIELD_BYTES = 512 * 1024
"""Largest total of the header values that are kept of one message, in octets."""


class Collector:
    """One message while it comes in.

    `fields` are as libmilter passes them. `precheck` and `transaction` are None until the headers have ended.
    """

    # Every message passes here and few get a body, so the defaults are on the class and cost nothing.
    precheck: Precheck | None = None
    transaction: Transaction | None = None
    truncated = False
    _field_room = FIELD_BYTES

    def __init__(self) -> None:
        self.fields: list[Field] = []
        self.body = bytearray()

    def add_field(self, name: str, value: bytes) -> None:
        """Add a header field. Beyond the cap only its name is kept, so that removed fields are still counted."""
        room = self._field_room = self._field_room - len(value)
        self.fields.append((name, value if room >= 0 else b""))

    def end_headers(self, envelope: Envelope, at: float, context: DecisionContext) -> tuple[Transaction, Precheck]:
        """End the headers, at `at` (seconds since the epoch). Return the message so far, and its precheck."""
        fields = tuple(self.fields)
        transaction = Transaction(envelope, fields, Headers(fields), at)
        checked = precheck(transaction, context)
        self.transaction, self.precheck = transaction, checked
        return transaction, checked

    def add_body(self, block: bytes) -> bool:
        """Add a part of the body, up to the cap of the precheck. Return whether more of it is needed."""
        room = self.precheck.body_bytes - len(self.body) if self.precheck else 0
        self.body += block[:room]
        self.truncated = self.truncated or len(block) > room
        return not self.truncated

    def whole(self) -> Transaction:
        """Return the message with the body that was added. Raises ValueError when its headers have not ended."""
        if self.transaction is None:
            raise ValueError("the headers have not ended")
        return structs.replace(self.transaction, body=bytes(self.body), truncated=self.truncated)


def collected(
    envelope: Envelope, fields: Iterable[Field], body: Iterable[bytes], at: float, context: DecisionContext
) -> tuple[Transaction, Precheck]:
    """Return a message as the milter collects it. No more of `body` is consumed than the precheck asks for."""
    message = Collector()
    for name, value in fields:
        message.add_field(name, value)
    _, checked = message.end_headers(envelope, at, context)
    if checked.needs_end_of_message:
        for block in body:
            if not message.add_body(block):
                break
    return message.whole(), checked
