"""Copies of reports that the queue has accepted and that a failover could still discard.

Redis replicates asynchronously. A master that dies, or that is cut off or suspended while another is promoted, may
have accepted reports that the new master never received, and WAIT does not change that. So while Sentinels monitor
the queue, each report that it accepts is also kept as a file in a subspool, whose name is the replication id:

    queue.put -> replication id R -> the file is synced in subspool R -> the client gets its 250
                                   |
             R still holds         |        another replication id holds
       `HOLD` seconds later: gone <-+-> put into the queue again, and the copy moves to the new id

A report that is delivered twice is recognised by its id, so putting it again is harmless. A copy is removed when the
replication id has been the same for `HOLD` seconds: then every replica that Sentinel could promote has the report. A
majority of the Sentinels determines the current replication id; while they do not agree, all copies stay.

Time is measured by the monotonic clock from when this process first saw the copy: setting the clock removes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from stopit_core.errors import Transient
from stopit_core.stores.queue import Queue
from stopit_core.stores.queue.spool import Spool

__all__ = ["HOLD", "FailoverCopies"]

HOLD = 600.0
"""Seconds. Longer than a failover may take (180 by default), and than a promoted replica may have been without its
master (ten times down-after-milliseconds: 300 at most, see `redis_client.durability_faults`)."""


class FailoverCopies:
    """Puts reports into the queue, and keeps copies below `spool` as long as the queue could lose them."""

    def __init__(
        self, queue: Queue, spool: Spool, hold: float = HOLD, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._queue = queue
        self._spool = spool
        self._hold = hold
        self._monotonic = monotonic
        self._seen: dict[tuple[str, str], float] = {}

    def put(self, report_id: str, payload: bytes) -> str:
        """Put the report into the queue, and into a copy if a failover could discard it. Otherwise as `Queue.put`."""
        replication_id = self._queue.put(report_id, payload)
        if replication_id:
            self._spool.subspool(replication_id).put(report_id, payload)
        return replication_id

    def reconcile(self) -> int:
        """Put reports that a failover may have discarded into the queue again, and remove copies that are no longer
        needed. Return how many were put again.

        Raises Transient if the queue or the directory fails, or the replication id cannot be determined.
        """
        names = self._spool.subspools()
        if not names:
            self._seen.clear()
            return 0
        current = self._queue.replication_id()
        again = 0
        for name in names:
            subspool = self._spool.subspool(name)
            if name == current:
                self._release(name, subspool)
            else:
                again += subspool.drain(_Requeue(self, name))
                subspool.remove()
        return again

    def _release(self, replication_id: str, subspool: Spool) -> None:
        now = self._monotonic()
        seen = self._seen
        self._seen = {(replication_id, each): seen.get((replication_id, each), now) for each in subspool.ids()}
        for (_, report_id), since in self._seen.items():
            if now - since >= self._hold:
                subspool.forget(report_id)


class _Requeue:
    """Puts reports into the queue under a new replication id, or raises: their copies are removed afterwards."""

    def __init__(self, copies: FailoverCopies, lost: str) -> None:
        self._copies = copies
        self._lost = lost

    def put(self, report_id: str, payload: bytes) -> None:
        if self._copies.put(report_id, payload) == self._lost:
            raise Transient("still connected to a Redis server that the Sentinels no longer name")
