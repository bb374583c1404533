"""The gauges of the notifier, refreshed every few seconds: the depth of the queue, the contents of the case record,
and every minute the durability of the queue's server.

Counting takes longer as the record grows, and sending mail comes first: counting gets at most a hundredth of the
time.
"""

from __future__ import annotations

from stopit_core.clock import Time
from stopit_core.errors import NotAllowed, Transient
from stopit_core.metrics import NotifierMetrics
from stopit_notifier.stores import Stores

__all__ = ["Gauges"]

_EVERY = 5.0
_SHARE = 0.01
_DURABILITY_EVERY = 60.0


class Gauges:
    """Keeps the gauges of the queue and of the case record up to date."""

    def __init__(self, stores: Stores, metrics: NotifierMetrics, time: Time) -> None:
        self._stores = stores
        self._metrics = metrics
        self._time = time
        self._next = self._next_durability = time.monotonic()

    def refresh(self) -> None:
        """Set the gauges, if five seconds have passed since the last time.

        Raises Transient when a store is away; the gauges of the other stores are set all the same.
        """
        begin = self._time.monotonic()
        if begin < self._next:
            return
        self._next = begin + _EVERY
        try:
            self._count_cases()
        finally:
            self._count_reports()
            self._check_durability()
        self._next = begin + max(_EVERY, (self._time.monotonic() - begin) / _SHARE)

    def _count_reports(self) -> None:
        depths = self._stores.queue.depths()
        self._metrics.queue_depth.set(depths.waiting + depths.claimed)
        self._metrics.queue_oldest_age.set(depths.oldest_age)
        self._metrics.dead_letters.set(depths.dead)

    def _check_durability(self) -> None:
        """Check the settings of the queue's server: after a failover (Sentinel) it is another server."""
        if self._time.monotonic() < self._next_durability:
            return
        self._next_durability = self._time.monotonic() + _DURABILITY_EVERY
        try:
            durable = not self._stores.queue_faults()
        except NotAllowed:
            durable = False  # the server does not show its settings
        except Transient:
            return  # away since its depths were read: the last value stands
        self._metrics.queue_durable.set(1 if durable else 0)

    def _count_cases(self) -> None:
        with self._stores.cases.reading() as reading:
            totals = reading.totals(self._time.clock())
        for state, count in totals.cases.items():
            self._metrics.cases.labels(state.value).set(count)
        self._metrics.staff_case_age.set(totals.staff_waits)
        self._metrics.outbox_due.set(totals.outbox_due)
        self._metrics.outbox_put_off.set(totals.outbox_put_off)
        self._metrics.senders_notified.set(totals.senders_notified)
        self._metrics.senders_recurred.set(totals.senders_recurred)
