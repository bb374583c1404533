"""One message as it was collected: the input of `disposition.dispose`, without a trace of how it came."""

from __future__ import annotations

import re

import msgspec

from stopit_core.envelope import Envelope
from stopit_core.mail import Headers
from stopit_core.wire import ANSWER_BYTES

__all__ = ["Field", "Transaction"]

Field = tuple[str, bytes]
"""A header field as libmilter passes it: the name, and the octets of the value with its folds."""

_LINE_END = re.compile(rb"\r?\n")


class Transaction(msgspec.Struct, frozen=True):
    """Envelope, header fields, and the collected part of the body.

    `fields` are in the order of the message; `headers` are the same, cleaned. `at`: when the headers ended (seconds
    since the epoch). `truncated`: the body is longer than what was collected.
    """

    envelope: Envelope
    fields: tuple[Field, ...]
    headers: Headers
    at: float
    body: bytes = b""
    truncated: bool = False

    def start(self, size: int = ANSWER_BYTES) -> bytes:
        """Return the first `size` octets of the message, headers first, with CR LF line ends in the headers."""
        lines = [
            name.encode("ascii", "replace") + b": " + _LINE_END.sub(b"\r\n", value) for name, value in self.fields
        ]
        return (b"\r\n".join([*lines, b"", b""]) + self.body)[:size]
