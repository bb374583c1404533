"""The trace writer: one thread that writes traces behind, in batches, so that no mail ever waits for the ledger.

    offer -> buffer (bounded) -> batch -> ledger.write -> watched pairs looked for -> contacts told

`offer` takes no lock and wakes nobody, because it is on the way of every message, and a lock that two threads want at
once costs more than the trace. The thread looks into the buffer at intervals; what is waited for it takes at once.

While the ledger is away the batch in hand is kept and tried again, with growing pauses. When the buffer is full
meanwhile, the batch in hand, which is the oldest, is dropped and counted: a ledger that comes back should know of the
latest mail. Traces are written in the order in which they were offered, so `flush` only has to wait for a number.

The thread outlives everything that the ledger, the directory or the contact hook may raise. It must be started after
a worker was forked.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial

from stopit_core.errors import Transient
from stopit_core.identity.keys import Keyring
from stopit_core.model import Digest, Trace
from stopit_core.stores.ledger import Ledger

__all__ = ["TraceEvent", "TraceWriter", "WriterLimits"]


class TraceEvent(Enum):
    """What the writer counts, in traces; but a fault is an attempt to write, or a look at the ledger, that failed."""

    WRITTEN = "written"
    DROPPED = "dropped"
    CONTACT_LOST = "contact lost"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class WriterLimits:
    """Traces, and seconds by the monotonic clock. `interval` is between two looks while mail comes, `idle` while none
    does."""

    capacity: int = 20_000
    batch: int = 500
    interval: float = 0.05
    idle: float = 0.1
    refresh: float = 2.0
    expire: float = 3600.0
    expire_again: float = 1.0
    longest_pause: float = 5.0
    contacts: int = 1000


class TraceWriter:
    """Writes traces behind, and sees watched pairs meet.

    `sender_of` gives the canonical address of who sent a trace's message, "" when it is not known.
    `on_contact(trace, pair)` is called in the writer's thread; when it raises Transient it is called again later.
    `count(event, how many)` is told of everything, from any thread. `clock` is seconds since the epoch.
    """

    def __init__(
        self,
        ledger: Ledger,
        keyring: Keyring,
        sender_of: Callable[[Trace], str],
        on_contact: Callable[[Trace, Digest], None],
        count: Callable[[TraceEvent, int], None],
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        limits: WriterLimits = WriterLimits(),
    ) -> None:
        self._ledger = ledger
        self._keyring = keyring
        self._sender_of = sender_of
        self._on_contact = on_contact
        self._count = count
        self._clock = clock
        self._monotonic = monotonic
        self._limits = limits
        self._buffer: deque[Trace] = deque()
        self._changed = threading.Condition()  # guards the next five; never held while a store is used
        self._taken = self._settled = self._lost = 0
        self._flushing = 0
        self._stopping = False
        self._away = False  # the last attempt failed
        self._wait = limits.idle  # the writer thread's own
        self._watched: frozenset[Digest] = frozenset()
        self._contacts: deque[tuple[Trace, Digest]] = deque()
        self._refresh_at = self._expire_at = float("-inf")
        self._thread = threading.Thread(target=self._run, name="trace-writer", daemon=True)

    def start(self) -> None:
        """Start the thread; once, after any fork."""
        self._thread.start()

    def offer(self, trace: Trace) -> bool:
        """Take a trace to be written soon; False, and counted, when the buffer is full. Never waits for a store."""
        if self._stopping or len(self._buffer) >= self._limits.capacity:
            self._count(TraceEvent.DROPPED, 1)
            return False
        self._buffer.append(trace)
        return True

    def wait_for_room(self, timeout: float) -> None:
        """Wait until at most half of the buffer is taken, but no longer than so many seconds, and not for a ledger
        that is away: the latest traces take the place of the oldest then."""
        with self._changed:
            self._changed.wait_for(self._has_room, timeout)

    def flush(self, timeout: float) -> bool:
        """Wait until all that was offered before is in the ledger; False when it is not by then, or was dropped."""
        with self._changed:
            target, lost = self._taken + len(self._buffer), self._lost
            self._flushing += 1
            self._changed.notify_all()
            try:
                in_time = self._changed.wait_for(lambda: self._settled >= target, timeout)
            finally:
                self._flushing -= 1
            return in_time and self._lost == lost

    def stop(self, timeout: float) -> bool:
        """Take no more, write what is there, and end the thread; False when that was not done in time.

        While the ledger is away the batch in hand is tried once more; then all that is left is dropped.
        """
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive() and not self._buffer and self._lost == 0

    def _run(self) -> None:
        while True:
            batch = self._next_batch()
            if batch:
                self._write_or_drop(batch)
            elif self._stopping:
                return
            self._guarded(self._keep_house)

    def _next_batch(self) -> list[Trace]:
        """The oldest traces, as soon as there is a batch of them, the interval is over, or somebody waits."""
        with self._changed:
            self._changed.wait_for(self._is_urgent, self._wait)
            batch = self._take(self._limits.batch)
        self._wait = self._limits.interval if batch else self._limits.idle
        return batch

    def _take(self, most: int) -> list[Trace]:
        """Out of the buffer, with the lock held: who waits knows by it how many were offered before."""
        taken = [self._buffer.popleft() for _ in range(min(len(self._buffer), most))]
        self._taken += len(taken)
        return taken

    def _has_room(self) -> bool:
        return self._stopping or self._away or len(self._buffer) <= self._limits.capacity // 2

    def _is_urgent(self) -> bool:
        waited_for = self._flushing > 0 and bool(self._buffer)
        return self._stopping or waited_for or len(self._buffer) >= self._limits.batch

    def _write_or_drop(self, batch: list[Trace]) -> None:
        written: list[Trace] = []
        pause = self._limits.idle
        while True:
            try:
                written = self._write(batch)
                self._away = False
                break
            except Transient:
                self._count(TraceEvent.FAULT, 1)
            with self._changed:
                self._away = True
                self._changed.notify_all()
                if self._stopping:
                    batch += self._take(len(self._buffer))
                    break
                if len(self._buffer) >= self._limits.capacity:
                    break
                self._changed.wait_for(lambda: self._stopping, pause)
            pause = min(pause * 2, self._limits.longest_pause)
        self._settle(batch, written)
        if self._watched:
            for trace in written:
                self._guarded(partial(self._look_for_contacts, trace))

    def _settle(self, batch: Sequence[Trace], written: Sequence[Trace]) -> None:
        for event, number in ((TraceEvent.WRITTEN, len(written)), (TraceEvent.DROPPED, len(batch) - len(written))):
            if number:
                self._count(event, number)
        with self._changed:
            self._settled += len(batch)
            self._lost += len(batch) - len(written)
            self._changed.notify_all()

    def _write(self, batch: Sequence[Trace]) -> list[Trace]:
        """Write a batch; when one trace in it cannot be written at all, the others one by one."""
        try:
            self._ledger.write(batch)
        except Transient:
            raise
        except Exception:  # noqa: BLE001 - such as a trace that cannot be encoded
            if len(batch) == 1:
                return []
            return [trace for one in batch for trace in self._write([one])]
        return list(batch)

    def _look_for_contacts(self, trace: Trace) -> None:
        if trace.own or trace.bulk:
            return
        sender = self._sender_of(trace)
        if not sender:
            return
        digest = self._keyring.address(sender)
        for recipient in trace.recipient_digests():
            pair = self._keyring.pair(digest, recipient)
            if pair in self._watched:
                self._contacts.append((trace, pair))

    def _keep_house(self) -> None:
        """Tell contacts, learn what is watched, and let the ledger expire: each when it is due."""
        self._tell_contacts()
        now = self._monotonic()
        if now >= self._refresh_at:
            self._refresh_at = now + self._limits.refresh
            self._watched = self._ledger.watched(self._clock())
        if now >= self._expire_at:
            self._expire_at = now + self._limits.expire
            if self._ledger.expire(self._clock()):
                self._expire_at = now + self._limits.expire_again

    def _tell_contacts(self) -> None:
        while len(self._contacts) > self._limits.contacts:
            self._contacts.popleft()
            self._count(TraceEvent.CONTACT_LOST, 1)
        while self._contacts:
            trace, pair = self._contacts[0]
            try:
                self._on_contact(trace, pair)
            except Transient:
                return
            except Exception:  # noqa: BLE001 - what it is asked to do will not work better next time
                self._count(TraceEvent.CONTACT_LOST, 1)
            self._contacts.popleft()

    def _guarded(self, step: Callable[[], None]) -> None:
        """Run a step that the thread must outlive; what it was to do is tried again, or missed, but counted."""
        try:
            step()
        except Exception:  # noqa: BLE001
            self._count(TraceEvent.FAULT, 1)
