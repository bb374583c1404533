"""The ledger: traces of every message that passed, for some days, found by the digest of the Message-ID.

Two backends, SQLite and Redis, stand behind `Ledger` and pass tests/contract/test_ledger.py. A ledger is not the
record of anything: a lost trace means that staff decide. So writing is in batches and behind (`TraceWriter`), and
nothing that handles mail ever waits for it.

Age is judged twice. `find` shows nothing older than the retention, by the clock of now; what is removed for good is a
day older than that, so that a clock which is a day ahead for an hour loses nothing.

The ledger also holds the watched pairs, because who writes traces is who can see that a pair met again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from stopit_core.errors import DecodeError
from stopit_core.model import Digest, Trace
from stopit_core.wire import decode_trace

__all__ = ["GRACE", "MAX_PASSES", "Ledger", "readable"]

MAX_PASSES = 64
"""So many traces are kept of one Message-ID. More are dropped: it is ambiguous by then, and a flood."""

GRACE = 86400.0
"""Seconds that a trace, or the end of a watch, is kept beyond its time before it is removed for good."""


def readable(message: Digest, payloads: Iterable[bytes]) -> Iterator[Trace]:
    """The traces of these payloads; what is damaged is left out, so that it does not hide the others."""
    for payload in payloads:
        try:
            yield decode_trace(message, payload)
        except DecodeError:
            continue


class Ledger(Protocol):
    """Every method may be called from any thread; raises `errors.Transient` when the store cannot be used now."""

    def write(self, traces: Sequence[Trace]) -> None:
        """Keep these traces until the retention has passed since they were seen.

        After a Transient any part of them may have been kept; writing them again makes no second pass.
        """

    def find(self, message: Digest) -> list[Trace]:
        """All passes of a message, the earliest first; [] when none is known or retention has passed.

        A stored trace that cannot be read is left out.
        """

    def watch(self, pair: Digest, until: float) -> None:
        """Watch a pair (`Keyring.pair`) until then. Again is the same as once; the later end holds."""

    def watched(self, now: float) -> frozenset[Digest]:
        """All pairs watched at this time."""

    def expire(self, now: float) -> int:
        """Remove a bounded part of what is past its time; tells how many traces: call again until that is 0.

        Always 0 where the store does it itself.
        """

    def replication_id(self) -> str:
        """The history that holds now; "" where there is only one. Another one may lack traces that this one had.

        Raises Transient when it cannot be told (`queue.Queue.history`).
        """

    def ping(self) -> None:
        """Return when the store answers a read and would take a write."""

    def close(self) -> None:
        """Give back connections and files. Nothing may be called afterwards."""
