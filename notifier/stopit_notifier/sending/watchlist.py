"""The watched pairs: after a notice the ledger reports more mail from that sender to those reporters.

The case record has the list. The ledger has a copy, which it may lose at any time and gets again.
"""

from __future__ import annotations

from collections.abc import Collection

from stopit_core.cases import MessageRow, Sending
from stopit_core.clock import Time
from stopit_core.identity.people import People
from stopit_core.model import Digest
from stopit_notifier.stores import Stores

__all__ = ["Watchlist", "pairs_of"]

_EVERY = 60.0


def pairs_of(notice: MessageRow, sending: Sending, people: People) -> frozenset[Digest]:
    """Return the pairs of a notice's recipient with each reporter whose report stands."""
    sender = people.digest(notice.recipient)
    return frozenset(
        people.keyring.pair(sender, people.digest(row.reporter))
        for row in sending.reports_on(notice)
        if row.withdrawn_at is None and row.reporter
    )


class Watchlist:
    """Keeps the ledger's list of watched pairs equal to the case record's. Raises Transient when a store is away."""

    def __init__(self, stores: Stores, time: Time) -> None:
        self._stores = stores
        self._time = time
        self._next = time.monotonic()

    def watch(self, pairs: Collection[Digest], until: float) -> None:
        """Add these pairs to the ledger's list now."""
        for pair in pairs:
            self._stores.ledger.watch(pair, until)

    def sync(self) -> None:
        """Add all pairs that the ledger's list lacks, if a minute has passed since the last time."""
        if self._time.monotonic() < self._next:
            return
        now = self._time.clock()
        with self._stores.cases.reading() as reading:
            wanted = reading.watches(now)
        known = self._stores.ledger.watched(now)
        for watch in wanted:
            if watch.pair not in known:
                self._stores.ledger.watch(watch.pair, watch.until)
        self._next = self._time.monotonic() + _EVERY
