"""The watched pairs: from a notice on, the ledger looks out for more mail from that sender to those reporters.

The case record has the list; the ledger has a copy that it may lose at any time, and gets again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from stopit_core.cases import CaseStore, Message, Sending
from stopit_core.identity.people import People
from stopit_core.model import Digest
from stopit_core.stores.ledger import Ledger

__all__ = ["Watchlist", "pairs_of"]

_EVERY = 60.0


def pairs_of(notice: Message, sending: Sending, people: People) -> frozenset[Digest]:
    """The pairs of a notice's recipient with each reporter who counts on it."""
    sender = people.digest(notice.recipient)
    return frozenset(
        people.keyring.pair(sender, people.digest(row.reporter))
        for row in sending.reports_on(notice)
        if row.withdrawn_at is None and row.reporter
    )


class Watchlist:
    """Keeps the ledger's list of watched pairs as the case record has it. Raises Transient when a store is away."""

    def __init__(
        self,
        store: CaseStore,
        ledger: Ledger,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._monotonic = monotonic
        self._next = monotonic()

    def watch(self, pairs: Collection[Digest], until: float) -> None:
        """Tell the ledger at once."""
        for pair in pairs:
            self._ledger.watch(pair, until)

    def sync(self) -> None:
        """Tell the ledger of all pairs that it doesn't know; does nothing when it did so within the last minute."""
        if self._monotonic() < self._next:
            return
        now = self._clock()
        with self._store.reading() as reading:
            wanted = reading.watches(now)
        known = self._ledger.watched(now)
        for watch in wanted:
            if watch.pair not in known:
                self._ledger.watch(watch.pair, watch.until)
        self._next = self._monotonic() + _EVERY
