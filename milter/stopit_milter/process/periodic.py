"""The periodic tasks of a worker: drain the spool, look after failover copies, count."""

from __future__ import annotations

import threading
from collections.abc import Callable

from stopit_core.daemon.logs import Log
from stopit_core.errors import Transient
from stopit_core.metrics import MilterMetrics, Stage, TraceResult
from stopit_core.stores.ledger.writer import TraceEvent
from stopit_core.stores.queue.failover_copies import FailoverCopies
from stopit_core.stores.queue.spool import ReportStore, Spool

__all__ = ["FailoverCopyKeeper", "PeriodicTask", "SpoolDrainer", "trace_counter"]


class PeriodicTask:
    """A thread that repeats `work`, which raises nothing, with `pause` seconds between."""

    def __init__(self, name: str, work: Callable[[], object], pause: float = 1.0) -> None:
        self._work = work
        self._pause = pause
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread. Call it once, and after the fork."""
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """End the thread after the work in progress. Return False when that takes over `timeout` seconds."""
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._ended.wait(self._pause):
            self._work()


class SpoolDrainer:
    """Moves reports from the spool to the queue."""

    def __init__(self, spool: Spool, queue: ReportStore, metrics: MilterMetrics, log: Log) -> None:
        self._spool = spool
        self._queue = queue
        self._metrics = metrics
        self._log = log
        self._waiting = False

    def drain_once(self) -> int:
        """Drain the spool, and return how many reports are left. A fault is counted; the next call tries again."""
        try:
            left = self._spool.depth()
            if left:
                moved = self._spool.drain(self._queue)
                left = self._spool.depth()
                if moved:
                    self._log.info("spool drained", reports=moved, left=left)
            self._waiting = False
        except Exception as error:  # noqa: BLE001  the thread must survive every fault of disk and store
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
    """Puts reports again into the queue that a failover of Redis may have lost, and removes copies of safe ones."""

    def __init__(self, copies: FailoverCopies, metrics: MilterMetrics, log: Log) -> None:
        self._copies = copies
        self._metrics = metrics
        self._log = log
        self._waiting = False

    def check_once(self) -> None:
        """Check the copies. A fault is counted, and the copies are kept; the next call tries again."""
        try:
            again = self._copies.reconcile()
            if again:
                self._log.warning(
                    "the replication id of Redis changed: reports were put into the queue again", reports=again
                )
            self._waiting = False
        except Exception as error:  # noqa: BLE001  the thread must survive every fault of disk and store
            self._metrics.faults.labels(Stage.SPOOL.value).inc()
            if not self._waiting:
                self._log.warning("failover copies are kept: the replication id of Redis is not known", why=error)
            self._waiting = True


def trace_counter(metrics: MilterMetrics) -> Callable[[TraceEvent, int], None]:
    """Return a function that adds the events of a trace writer to the metrics."""

    def count(event: TraceEvent, number: int) -> None:
        match event:
            case TraceEvent.WRITTEN:
                metrics.traces.labels(TraceResult.WRITTEN.value).inc(number)
            case TraceEvent.DROPPED:
                metrics.traces.labels(TraceResult.DROPPED.value).inc(number)
            case TraceEvent.FAULT | TraceEvent.CONTACT_LOST:
                metrics.faults.labels(Stage.LEDGER.value).inc(number)

    return count
