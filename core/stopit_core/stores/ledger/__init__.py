"""The ledger: traces of every message that passed, for some days, found by the digest of the Message-ID.

Two backends, SQLite and Redis, implement `Ledger` and pass tests/contract/test_ledger.py. A ledger is not a record:
if a trace is lost, staff decide. So traces are written in batches by a background thread (`TraceWriter`), and no mail
ever waits for the ledger.

Age is checked twice. `find` returns nothing older than the retention by the current clock; traces are removed only a
day later, so a clock that is a day fast for an hour loses nothing.

The ledger also holds the watched pairs, because the process that writes traces can see that a pair had contact again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from stopit_core.errors import DecodeError
from stopit_core.model import Digest, Trace
from stopit_core.wire import decode_trace

__all__ = ["GRACE", "MAX_PASSES", "Ledger", "readable"]

MAX_PASSES = 64
"""Maximum number of traces that are kept for one Message-ID. More are dropped: the message is ambiguous by then."""

GRACE = 86400.0
"""Seconds for which a trace, or the end of a watch, is kept beyond its time before it is removed."""


def readable(message: Digest, payloads: Iterable[bytes]) -> Iterator[Trace]:
    """Yield the traces of these payloads, without damaged ones, so that they do not hide the others."""
    for payload in payloads:
        try:
            yield decode_trace(message, payload)
        except DecodeError:
            continue


class Ledger(Protocol):
    """The interface of a ledger. Methods are thread-safe, and raise `errors.Transient` if the store cannot be used
    now."""

    def write(self, traces: Sequence[Trace]) -> None:
        """Store these traces until the retention after they were seen has passed.

        After a Transient any part of them may be stored; writing them again adds no second pass.
        """

    def find(self, message: Digest) -> list[Trace]:
        """Return all passes of a message, the earliest first; [] if none is known or the retention has passed.

        A stored trace that cannot be read is left out.
        """

    def watch(self, pair: Digest, until: float) -> None:
        """Watch a pair (`Keyring.pair`) until then. Idempotent; the later end counts."""

    def watched(self, now: float) -> frozenset[Digest]:
        """Return all pairs that are watched at this time."""

    def expire(self, now: float) -> int:
        """Remove a limited number of expired traces. Return how many; call again until that is 0.

        Always 0 if the store expires them itself.
        """

    def replication_id(self) -> str:
        """Return the current replication id; "" if there is only one server. After it changes, traces may be missing.

        Raises Transient if it cannot be determined (`Queue.replication_id`).
        """

    def ping(self) -> None:
        """Return if the store answers a read and would take a write."""

    def close(self) -> None:
        """Close connections and files. Call no method afterwards."""
