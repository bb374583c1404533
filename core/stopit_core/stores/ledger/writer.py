"""The trace writer: one background thread that writes traces in batches, so that no mail ever waits for the ledger.

    offer -> buffer (bounded) -> batch -> ledger.write -> look up watched pairs -> report contacts

`offer` takes no lock and wakes no thread, because every message calls it, and a lock that two threads contend for
costs more than the trace. The thread checks the buffer at intervals; a `flush` wakes it at once.

While the ledger is down the current batch is kept and retried, with growing pauses. If the buffer is full meanwhile,
the current batch, which is the oldest, is dropped and counted: when the ledger returns, it should get the latest
mail. Traces are written in the order in which they were offered, so `flush` only waits for a number.

The thread survives every exception of the ledger, the directory or the contact hook. Start it after a worker was
forked.
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
    """The events that the writer counts, in traces; a FAULT is one failed access to the ledger."""

    WRITTEN = "written"
    DROPPED = "dropped"
    CONTACT_LOST = "contact lost"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class WriterLimits:
    """Numbers of traces, and seconds of the monotonic clock. `interval` is the time between two checks while mail
    arrives, `idle` while none does."""

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
    """Writes traces in the background, and recognises contacts of watched pairs.

    `sender_of` returns the canonical address of the sender of a trace's message, "" if it is not known.
    `on_contact(trace, pair)` is called in the writer's thread; if it raises Transient, it is called again later.
    `count(event, how many)` is called for every event, from any thread. `clock` is seconds since the epoch.
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
        self._changed = threading.Condition()  # protects the next five; never held while a store is used
        self._taken = self._finished = self._lost = 0
        self._flushing = 0
        self._stopping = False
        self._ledger_is_down = False  # the last attempt failed
        self._wait = limits.idle  # used by the writer thread only
        self._watched: frozenset[Digest] = frozenset()
        self._contacts: deque[tuple[Trace, Digest]] = deque()
        self._refresh_at = self._expire_at = float("-inf")
        self._thread = threading.Thread(target=self._run, name="trace-writer", daemon=True)

    def start(self) -> None:
        """Start the thread; once, after any fork."""
        self._thread.start()

    def offer(self, trace: Trace) -> bool:
        """Accept a trace to be written soon; return False, and count it, if the buffer is full. Never waits for a
        store."""
        if self._stopping or len(self._buffer) >= self._limits.capacity:
            self._count(TraceEvent.DROPPED, 1)
            return False
        self._buffer.append(trace)
        return True

    def wait_for_room(self, timeout: float) -> None:
        """Wait until at most half of the buffer is used, but at most `timeout` seconds, and not while the ledger is
        down: then the latest traces replace the oldest."""
        with self._changed:
            self._changed.wait_for(self._has_room, timeout)

    def flush(self, timeout: float) -> bool:
        """Wait until all traces offered before are in the ledger; return False on a time-out or if traces were
        dropped."""
        with self._changed:
            target, lost = self._taken + len(self._buffer), self._lost
            self._flushing += 1
            self._changed.notify_all()
            try:
                in_time = self._changed.wait_for(lambda: self._finished >= target, timeout)
            finally:
                self._flushing -= 1
            return in_time and self._lost == lost

    def stop(self, timeout: float) -> bool:
        """Accept no more traces, write the buffered ones, and end the thread; return False if that was not done in
        time.

        While the ledger is down the current batch is tried once more; then all remaining traces are dropped.
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
            self._guarded(self._run_periodic_tasks)

    def _next_batch(self) -> list[Trace]:
        """Return the oldest traces as soon as a batch is full, the interval is over, or a `flush` waits."""
        with self._changed:
            self._changed.wait_for(self._is_urgent, self._wait)
            batch = self._take(self._limits.batch)
        self._wait = self._limits.interval if batch else self._limits.idle
        return batch

    def _take(self, most: int) -> list[Trace]:
        """Take traces out of the buffer. Called with the lock held: `flush` computes from it how many were offered
        before."""
        taken = [self._buffer.popleft() for _ in range(min(len(self._buffer), most))]
        self._taken += len(taken)
        return taken

    def _has_room(self) -> bool:
        return self._stopping or self._ledger_is_down or len(self._buffer) <= self._limits.capacity // 2

    def _is_urgent(self) -> bool:
        waited_for = self._flushing > 0 and bool(self._buffer)
        return self._stopping or waited_for or len(self._buffer) >= self._limits.batch

    def _write_or_drop(self, batch: list[Trace]) -> None:
        written: list[Trace] = []
        pause = self._limits.idle
        while True:
            try:
                written = self._write(batch)
                self._ledger_is_down = False
                break
            except Transient:
                self._count(TraceEvent.FAULT, 1)
            with self._changed:
                self._ledger_is_down = True
                self._changed.notify_all()
                if self._stopping:
                    batch += self._take(len(self._buffer))
                    break
                if len(self._buffer) >= self._limits.capacity:
                    break
                self._changed.wait_for(lambda: self._stopping, pause)
            pause = min(pause * 2, self._limits.longest_pause)
        self._finish(batch, written)
        if self._watched:
            for trace in written:
                self._guarded(partial(self._find_contacts, trace))

    def _finish(self, batch: Sequence[Trace], written: Sequence[Trace]) -> None:
        for event, number in ((TraceEvent.WRITTEN, len(written)), (TraceEvent.DROPPED, len(batch) - len(written))):
            if number:
                self._count(event, number)
        with self._changed:
            self._finished += len(batch)
            self._lost += len(batch) - len(written)
            self._changed.notify_all()

    def _write(self, batch: Sequence[Trace]) -> list[Trace]:
        """Write a batch; if one trace in it cannot be written at all, write the others one by one."""
        try:
            self._ledger.write(batch)
        except Transient:
            raise
        except Exception:  # noqa: BLE001 - such as a trace that cannot be encoded
            if len(batch) == 1:
                return []
            return [trace for one in batch for trace in self._write([one])]
        return list(batch)

    def _find_contacts(self, trace: Trace) -> None:
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

    def _run_periodic_tasks(self) -> None:
        """Report contacts, refresh the watched pairs, and expire traces: each when it is due."""
        self._report_contacts()
        now = self._monotonic()
        if now >= self._refresh_at:
            self._refresh_at = now + self._limits.refresh
            self._watched = self._ledger.watched(self._clock())
        if now >= self._expire_at:
            self._expire_at = now + self._limits.expire
            if self._ledger.expire(self._clock()):
                self._expire_at = now + self._limits.expire_again

    def _report_contacts(self) -> None:
        while len(self._contacts) > self._limits.contacts:
            self._contacts.popleft()
            self._count(TraceEvent.CONTACT_LOST, 1)
        while self._contacts:
            trace, pair = self._contacts[0]
            try:
                self._on_contact(trace, pair)
            except Transient:
                return
            except Exception:  # noqa: BLE001 - the same call would fail again
                self._count(TraceEvent.CONTACT_LOST, 1)
            self._contacts.popleft()

    def _guarded(self, step: Callable[[], None]) -> None:
        """Run a step whose exceptions must not end the thread; they are counted, and the work is retried or
        skipped."""
        try:
            step()
        except Exception:  # noqa: BLE001
            self._count(TraceEvent.FAULT, 1)
