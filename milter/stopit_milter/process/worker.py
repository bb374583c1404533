"""Two kinds of children: a worker handles mail, and one process serves /metrics. `trace_writer` has the third.

Everything with threads, connections or files is made here, after the fork. A worker starts without its stores if need
be: mail is handled first, reports wait in the spool, and what cannot be written is counted.
"""

from __future__ import annotations

import gc
import math
import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, disable_created_metrics

from stopit_core.config import Settings
from stopit_core.daemon.http import Readiness, serve
from stopit_core.daemon.logs import Log
from stopit_core.errors import NotAllowed, Transient
from stopit_core.metrics import MilterHttpMetrics, MilterMetrics
from stopit_core.metrics.multiprocess import gathered, in_child
from stopit_core.open_stores import open_ledger, open_queue, queue_durability_faults
from stopit_core.stores.ledger.writer import WriterLimits
from stopit_core.stores.queue.failover_copies import FailoverCopies
from stopit_core.stores.queue.spool import DurableReports, Spool
from stopit_milter.listener import Listener
from stopit_milter.message_counter import MessageCounter
from stopit_milter.process.control import WAKE, ChildControl, ChildStatus, ControlMessage
from stopit_milter.process.periodic import FailoverCopyKeeper, PeriodicTask, SpoolDrainer, trace_counter
from stopit_milter.process.readiness import check
from stopit_milter.process.reload import ActiveConfiguration, MilterConfiguration
from stopit_milter.process.trace_pipe import TracePipe, TraceSender
from stopit_milter.process.trace_writer import STOP_SECONDS, writer_to
from stopit_milter.session import Session, SessionResources
from stopit_milter.sinks import Sinks

__all__ = ["run_metrics", "run_worker"]

_DRAIN_SECONDS = 0.5
_COPIES_SECONDS = 3.0
_QUIET_CHECKS = 3
_OWN = WriterLimits(expire=math.inf)
"""Limits for the few traces that a worker writes itself. Only the trace writer lets the ledger expire."""


def run_worker(
    control: ChildControl,
    slot: int,
    configuration: MilterConfiguration,
    listener: Listener,
    trace_pipe: TracePipe,
    metrics_dir: Path,
    log: Log,
    reload_refused: bool,
) -> int:
    """Handle mail until SIGTERM, or until the parent is gone. Return the exit code."""
    in_child(metrics_dir, f"worker{slot}")
    metrics = MilterMetrics(CollectorRegistry())
    settings = configuration.settings
    active = ActiveConfiguration(configuration, metrics, log, reload_refused)
    queue, ledger, spool = open_queue(settings.queue), open_ledger(settings.ledger), Spool(settings.queue.spool_dir)
    copies = FailoverCopies(queue, spool)
    reports = DurableReports(copies, spool)
    own = writer_to(ledger, active.live, reports, metrics, _OWN)
    trace_sender = TraceSender(trace_pipe.sender(), trace_counter(metrics), own.offer)
    message_counter = MessageCounter(metrics)
    drainer = PeriodicTask("spool-drainer", SpoolDrainer(spool, copies, metrics, log).drain_once)
    keeper = PeriodicTask("copies", FailoverCopyKeeper(copies, metrics, log).check_once, _COPIES_SECONDS)
    count = partial(_count, message_counter, metrics, listener, control, settings.milter.max_messages)
    counting = PeriodicTask("message-counter", count)

    def send_traces() -> None:
        trace_sender.stop(STOP_SECONDS)
        own.stop(STOP_SECONDS)

    def end() -> None:
        drainer.stop(STOP_SECONDS)
        keeper.stop(STOP_SECONDS)
        send_traces()
        counting.stop(STOP_SECONDS)
        message_counter.fold()
        metrics.reset_gauges()
        queue.close()
        ledger.close()

    def handle(message: ControlMessage) -> None:
        if message is ControlMessage.DRAIN:
            listener.stop_accepting()
            _in_background("drain", lambda: _drain(listener, end))
            return
        active.handle(message)

    _prepare_signals()
    sinks = Sinks(reports, trace_sender, own, metrics, log)
    resources = SessionResources(active.live, sinks, metrics, message_counter, log)
    for each in (trace_sender, own, drainer, keeper, counting):
        each.start()
    if slot == 0:
        _in_background("durability", lambda: _warn_of_durability(configuration, log))
    _in_background("control", lambda: _until_parent_ends(control, handle, send_traces))
    _freeze_heap()
    control.report(ChildStatus.READY)
    listener.serve(lambda: Session(resources))
    end()
    return 0


def run_metrics(control: ChildControl, settings: Settings, metrics_dir: Path, log: Log) -> int:
    """Serve the metrics and the health checks until the parent is gone.

    Return the exit code, 1 when the address cannot be bound. A reload changes none of these settings.
    """
    disable_created_metrics()  # type: ignore[no-untyped-call]
    address = settings.milter.metrics
    metrics = MilterHttpMetrics(gathered(metrics_dir))
    queue = open_queue(settings.queue)
    try:
        serve(address, metrics, Readiness(partial(check, settings.milter.socket, queue, settings.queue.spool_dir)))
    except OSError as error:
        log.error("milter.metrics cannot be served; is another process there?", address=address, why=error)
        return 1

    def handle(message: ControlMessage) -> None:
        if message is ControlMessage.WORKER_ENDED:
            metrics.workers_ended.inc()

    control.report(ChildStatus.READY)
    control.listen(handle)
    return 0


def _count(
    message_counter: MessageCounter, metrics: MilterMetrics, listener: Listener, control: ChildControl, limit: int
) -> None:
    """Update the metrics. Report RESTART_DUE after `limit` messages (0: never)."""
    message_counter.fold()
    metrics.connections.set(listener.connections)
    if limit and message_counter.total >= limit:
        control.report(ChildStatus.RESTART_DUE)


def _prepare_signals() -> None:
    """Block the signals that libmilter waits for in a thread of its own, in this thread and those that it starts.

    In any other thread they would end the process before the traces in the buffer are written. WAKE only interrupts.
    """
    signal.signal(WAKE, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))


def _freeze_heap() -> None:
    """Exclude everything made until now from garbage collection: it stays, and messages wait for the collector."""
    gc.collect()
    gc.freeze()


def _until_parent_ends(
    control: ChildControl, handle: Callable[[ControlMessage], None], send_traces: Callable[[], None]
) -> None:
    """Exit when the parent is gone.

    libmilter's own stop takes seconds, and at its end removes the socket file, which by then may be that of the next
    parent. So the process exits without it.
    """
    try:
        control.listen(handle)
    finally:
        send_traces()
        os._exit(1)


def _drain(listener: Listener, end: Callable[[], None]) -> None:
    """Exit after the last connection, without libmilter's own stop, as in `_until_parent_ends`."""
    quiet = 0
    while quiet < _QUIET_CHECKS:  # a connection that was just accepted is not counted at once
        time.sleep(_DRAIN_SECONDS)
        quiet = 0 if listener.connections else quiet + 1
    end()
    os._exit(0)


def _warn_of_durability(configuration: MilterConfiguration, log: Log) -> None:
    try:
        for sentence in queue_durability_faults(configuration.settings.queue):
            log.warning("the queue could lose reports", why=sentence)
    except NotAllowed:
        pass  # the milter's user of Redis may not ask (config/redis/users.acl); the notifier's may, and has a gauge
    except Transient as error:
        log.warning("the queue is not available; reports go to the spool meanwhile", why=error)


def _in_background(name: str, work: Callable[[], None]) -> None:
    threading.Thread(target=work, name=name, daemon=True).start()
