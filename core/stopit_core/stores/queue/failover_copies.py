"""FailoverCopies of reports that the queue has taken and a failover could still take away again.

Redis replicates behind. A master that dies, or that is cut off or stands still while another is chosen, may have
taken reports that the new master never saw, and WAIT does not change that. So while Sentinels watch over the queue,
each report that it takes is also kept as a file beside the spool, in a part named by the history that it went into:

    queue.put -> history H -> the file is synced in part H -> the client has its 250
                                   |
             H still holds         |        another history holds
       `HOLD` seconds later: gone <-+-> put into the queue again, and the copy is of that history now

A report that comes twice is known by its id, so to put it again does no harm. A copy goes when the history has held
for `HOLD` seconds since: then every replica that Sentinel could choose has the report. Which history holds is what a
majority of the Sentinels says; while they do not agree, everything stays.

Time is measured by the monotonic clock, from when this process first saw the copy: to set a clock removes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from stopit_core.errors import Transient
from stopit_core.stores.queue import Queue
from stopit_core.stores.queue.spool import Spool

__all__ = ["HOLD", "FailoverCopies"]

HOLD = 600.0
"""Seconds. Longer than a failover may take (180 by default), and than a replica that is chosen may have been without
its master (ten times down-after-milliseconds: 300 at most, see `redis_client.durability_faults`)."""


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
        """The report is in the queue, and in a copy where a failover could lose it. As `Queue.put` otherwise."""
        history = self._queue.put(report_id, payload)
        if history:
            self._spool.part(history).put(report_id, payload)
        return history

    def settle(self) -> int:
        """Put what a failover may have lost into the queue again, and remove what is safe; tells how many again.

        Raises Transient when the queue or the directory fails, or nobody can tell which history holds.
        """
        parts = self._spool.parts()
        if not parts:
            self._seen.clear()
            return 0
        current = self._queue.replication_id()
        again = 0
        for name in parts:
            part = self._spool.part(name)
            if name == current:
                self._release(name, part)
            else:
                again += part.drain(_Elsewhere(self, name))
                part.remove()
        return again

    def _release(self, history: str, part: Spool) -> None:
        now = self._monotonic()
        seen = self._seen
        self._seen = {(history, each): seen.get((history, each), now) for each in part.ids()}
        for (_, report_id), since in self._seen.items():
            if now - since >= self._hold:
                part.forget(report_id)


class _Elsewhere:
    """Puts reports into another history than the one they were in, or not at all: their copies are removed after."""

    def __init__(self, copies: FailoverCopies, lost: str) -> None:
        self._copies = copies
        self._lost = lost

    def put(self, report_id: str, payload: bytes) -> None:
        if self._copies.put(report_id, payload) == self._lost:
            raise Transient("still connected to a Redis server that the Sentinels no longer name")
