"""What a worker does beside mail: brings the spool back to the queue, and counts."""

from __future__ import annotations

import threading
from collections.abc import Callable

from stopit_core.daemon.logs import Log
from stopit_core.errors import Transient
from stopit_core.metrics import MilterMetrics, Stage, TraceResult
from stopit_core.stores.ledger.writer import TraceEvent
from stopit_core.stores.queue.failover_copies import FailoverCopies
from stopit_core.stores.queue.spool import Spool, Taker

__all__ = ["FailoverCopyKeeper", "PeriodicTask", "SpoolDrainer", "trace_counter"]


class PeriodicTask:
    """A thread that does a piece of work again and again. `work` raises nothing; `pause` in seconds."""

    def __init__(self, name: str, work: Callable[[], object], pause: float = 1.0) -> None:
        self._work = work
        self._pause = pause
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread; once, after any fork."""
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """End the thread, after the work in hand; False when that was not done in time (seconds)."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._ended.wait(self._pause):
            self._work()


class SpoolDrainer:
    """Moves what is in the spool to the queue, as soon as that takes it again."""

    def __init__(self, spool: Spool, queue: Taker, metrics: MilterMetrics, log: Log) -> None:
        self._spool = spool
        self._queue = queue
        self._metrics = metrics
        self._log = log
        self._waiting = False

    def drain_once(self) -> int:
        """One look; tells how many reports are left. A fault is counted, and the next look tries again."""
        try:
            left = self._spool.depth()
            if left:
                moved = self._spool.drain(self._queue)
                left = self._spool.depth()
                if moved:
                    self._log.info("spool drained", reports=moved, left=left)
            self._waiting = False
        except Exception as error:  # noqa: BLE001  the thread must outlive whatever the disk or the store does
            self._metrics.faults.labels(Stage.SPOOL.value).inc()
            if not self._waiting:
                self._log.warning("the spool cannot be drained yet", why=error)
            self._waiting = True
            left = self._depth_or_zero()
        self._metrics.spool_depth.set(left)
        return left

    def _depth_or_zero(self) -> int:
        try:
            return self._spool.depth()
        except Transient:
            return 0


class FailoverCopyKeeper:
    """Puts reports into the queue again that a failover of Redis may have lost, and removes copies that are safe."""

    def __init__(self, copies: FailoverCopies, metrics: MilterMetrics, log: Log) -> None:
        self._copies = copies
        self._metrics = metrics
        self._log = log
        self._waiting = False

    def look(self) -> None:
        """One look. A fault is counted, and the next look tries again; until then everything is kept."""
        try:
            again = self._copies.settle()
            if again:
                self._log.warning("Redis has another history: reports put into the queue again", reports=again)
            self._waiting = False
        except Exception as error:  # noqa: BLE001  the thread must outlive whatever the disk or the store does
            self._metrics.faults.labels(Stage.SPOOL.value).inc()
            if not self._waiting:
                self._log.warning("copies of reports are kept until it is clear which Redis holds", why=error)
            self._waiting = True


def trace_counter(metrics: MilterMetrics) -> Callable[[TraceEvent, int], None]:
    """Puts what the trace writer counts into the metrics."""

    def count(event: TraceEvent, number: int) -> None:
        match event:
            case TraceEvent.WRITTEN:
                metrics.traces.labels(TraceResult.WRITTEN.value).inc(number)
            case TraceEvent.DROPPED:
                metrics.traces.labels(TraceResult.DROPPED.value).inc(number)
            case TraceEvent.FAULT | TraceEvent.CONTACT_LOST:
                metrics.faults.labels(Stage.LEDGER.value).inc(number)

    return count
