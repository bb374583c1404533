"""The ledger: traces of every message that passed, for some days, found by the digest of the Message-ID.

Two backends, SQLite and Redis, stand behind `Ledger` and pass tests/contract/test_ledger.py. A ledger is not the
record of anything: a lost trace means that staff decide. So writing is in batches and behind (`TraceWriter`), and
nothing that handles mail ever waits for it.

The ledger also holds the watched pairs, because who writes traces is who can see that a pair met again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from stopit_core.model import Digest, Trace

__all__ = ["MAX_PASSES", "Ledger"]

MAX_PASSES = 64
"""So many traces are kept of one Message-ID. More are dropped: it is ambiguous by then, and a flood."""


class Ledger(Protocol):
    """Every method may be called from any thread; raises `errors.Transient` when the store cannot be used now."""

    def write(self, traces: Sequence[Trace]) -> None:
        """Keep these traces until the retention has passed since they were seen."""

    def find(self, message: Digest) -> list[Trace]:
        """All passes of a message, the earliest first; [] when none is known or retention has passed."""

    def watch(self, pair: Digest, until: float) -> None:
        """Watch a pair (`Keyring.pair`) until then. Again is the same as once; the later end holds."""

    def watched(self, now: float) -> frozenset[Digest]:
        """All pairs watched at this time."""

    def expire(self, now: float) -> int:
        """Remove what is older than the retention; tells how many traces (0 where the store does it itself)."""

    def ping(self) -> None:
        """Return when the store answers a read and would take a write."""

    def close(self) -> None:
        """Give back connections and files. Nothing may be called afterwards."""
