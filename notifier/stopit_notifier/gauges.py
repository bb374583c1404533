"""What is looked up for the metrics, every few seconds: how much waits, and what the record holds; every minute,
whether the queue's server would lose any of it.

Counting takes longer as the record grows, and the mail comes first: it gets a hundredth of the time at most.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from stopit_core.cases import CaseStore
from stopit_core.errors import NotAllowed, Transient
from stopit_core.metrics import NotifierMetrics
from stopit_core.stores.queue import Queue

__all__ = ["Gauges"]

_EVERY = 5.0
_SHARE = 0.01
_DURABILITY_EVERY = 60.0


class Gauges:
    """Keeps the gauges of queue and cases fresh.

    `durability_faults` says what in the settings of the queue's server could lose a report; raises Transient when it
    is away.
    """

    def __init__(
        self,
        store: CaseStore,
        queue: Queue,
        metrics: NotifierMetrics,
        durability_faults: Callable[[], Collection[str]],
        *,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._store = store
        self._queue = queue
        self._metrics = metrics
        self._durability_faults = durability_faults
        self._clock = clock
        self._monotonic = monotonic
        self._next = self._next_durability = monotonic()

    def refresh(self) -> None:
        """Look again, when it is five seconds since the last time. Raises Transient when a store is away; what the
        others tell is shown all the same."""
        if self._monotonic() < self._next:
            return
        begin = self._monotonic()
        self._next = begin + _EVERY
        try:
            self._cases()
        finally:
            self._waiting()
            self._durability()
        self._next = begin + max(_EVERY, (self._monotonic() - begin) / _SHARE)

    def _waiting(self) -> None:
        depths = self._queue.depths()
        self._metrics.queue_depth.set(depths.waiting + depths.claimed)
        self._metrics.queue_oldest_age.set(depths.oldest_age)
        self._metrics.dead_letters.set(depths.dead)

    def _durability(self) -> None:
        """Another server may have taken over since (Sentinel), with settings of its own."""
        if self._monotonic() < self._next_durability:
            return
        self._next_durability = self._monotonic() + _DURABILITY_EVERY
        try:
            durable = not self._durability_faults()
        except NotAllowed:
            durable = False  # as far as anybody can tell
        except Transient:
            return  # it was there a moment ago, when its depths were asked for; what was known of it stands
        self._metrics.queue_durable.set(1 if durable else 0)

    def _cases(self) -> None:
        with self._store.reading() as reading:
            totals = reading.totals(self._clock())
        for state, count in totals.cases.items():
            self._metrics.cases.labels(state.value).set(count)
        self._metrics.staff_case_age.set(totals.staff_waits)
        self._metrics.outbox_due.set(totals.outbox_due)
        self._metrics.outbox_put_off.set(totals.outbox_put_off)
        self._metrics.senders_notified.set(totals.senders_notified)
        self._metrics.senders_recurred.set(totals.senders_recurred)
