"""One message as the callbacks collected it: what `decide` looks at, and nothing of how it came."""

from __future__ import annotations

import re

import msgspec

from stopit_core.envelope import Envelope
from stopit_core.mail import Headers
from stopit_core.wire import ANSWER_BYTES

__all__ = ["FIELD_BYTES", "Field", "Transaction"]

Field = tuple[str, bytes]
"""A header field as libmilter gave it: the name, and the value's octets with its folds."""

FIELD_BYTES = 512 * 1024
"""At most so many octets of header values are kept of one message; MTAs allow less (Postfix: 100 kB)."""

_LINE_END = re.compile(rb"\r?\n")


class Transaction(msgspec.Struct, frozen=True):
    """Envelope, header fields, and as much of the body as was asked for.

    `fields` are in the order of the message; `headers` are the same, cleaned. `at`: when the headers ended (seconds
    since the epoch). `truncated`: there was more body than was collected.
    """

    envelope: Envelope
    fields: tuple[Field, ...]
    headers: Headers
    at: float
    body: bytes = b""
    truncated: bool = False

    def start(self, size: int = ANSWER_BYTES) -> bytes:
        """The first `size` octets of the message, headers first, with CR LF line ends in the headers."""
        lines = [
            name.encode("ascii", "replace") + b": " + _LINE_END.sub(b"\r\n", value) for name, value in self.fields
        ]
        return (b"\r\n".join([*lines, b"", b""]) + self.body)[:size]
