"""What the children of stopit-milter do: a worker handles mail, and one more answers who asks how they do. (The third
kind is in `writing`.)

Everything that has threads, connections or files is made here, after the fork. A worker needs no store to be there
when it starts: mail comes first, reports wait in the spool, and what cannot be written is counted.
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
from stopit_milter.process.control import ChildControl, ChildStatus, ControlMessage
from stopit_milter.process.periodic import FailoverCopyKeeper, PeriodicTask, SpoolDrainer, trace_counter
from stopit_milter.process.readiness import look
from stopit_milter.process.reload import ActiveConfiguration, MilterConfiguration
from stopit_milter.process.trace_pipe import TracePipe, TraceSender
from stopit_milter.process.trace_writer import STOP_SECONDS, writer_to
from stopit_milter.session import Session, SessionResources
from stopit_milter.sinks import Sinks

__all__ = ["run_metrics", "run_worker"]

_LOOK_SECONDS = 0.5
_COPIES_SECONDS = 3.0
_QUIET_LOOKS = 3
_OWN = WriterLimits(expire=math.inf)
"""For the few traces that a worker writes itself: to let the ledger expire is the writing child's part."""


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
    """Handle mail until SIGTERM, or until the parent is gone. The exit code."""
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
    keeper = PeriodicTask("copies", FailoverCopyKeeper(copies, metrics, log).look, _COPIES_SECONDS)
    stock = partial(_take_stock, message_counter, metrics, listener, control, settings.milter.max_messages)
    counting = PeriodicTask("message-counter", stock)

    def let_go() -> None:
        trace_sender.stop(STOP_SECONDS)
        own.stop(STOP_SECONDS)

    def end() -> None:
        drainer.stop(STOP_SECONDS)
        keeper.stop(STOP_SECONDS)
        let_go()
        counting.stop(STOP_SECONDS)
        message_counter.fold()
        metrics.leave()
        queue.close()
        ledger.close()

    def handle(message: ControlMessage) -> None:
        if message is ControlMessage.DRAIN:
            listener.stop_accepting()
            _in_background("drain", lambda: _end_after_the_last(listener, end))
            return
        active.handle(message)

    # libmilter waits for these in a thread of its own; a thread of ours that did not block them would die of them,
    # and the process with it, before the traces in hand are written.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
    resources = SessionResources(
        active.live, Sinks(reports, trace_sender, own, metrics, log), metrics, message_counter, log
    )
    for each in (trace_sender, own, drainer, keeper, counting):
        each.start()
    if slot == 0:
        _in_background("durability", lambda: _warn_of_durability(configuration, log))
    _in_background("control", lambda: _until_parent_ends(control, handle, let_go))
    _settle_down()
    control.report(ChildStatus.READY)
    listener.serve(lambda: Session(resources))
    end()
    return 0


def run_metrics(control: ChildControl, settings: Settings, metrics_dir: Path, log: Log) -> int:
    """Answer Prometheus, and whoever asks for the milter's health, until the parent is gone.

    The exit code: 1 when the address cannot be had. None of these settings changes without a restart.
    """
    disable_created_metrics()  # type: ignore[no-untyped-call]
    address = settings.milter.metrics
    metrics = MilterHttpMetrics(gathered(metrics_dir))
    queue = open_queue(settings.queue)
    try:
        serve(address, metrics, Readiness(partial(look, settings.milter.socket, queue, settings.queue.spool_dir)))
    except OSError as error:
        log.error("milter.metrics cannot be served; is another process there?", address=address, why=error)
        return 1

    def handle(message: ControlMessage) -> None:
        if message is ControlMessage.WORKER_ENDED:
            metrics.workers_ended.inc()

    control.report(ChildStatus.READY)
    control.listen(handle)
    return 0


def _take_stock(
    message_counter: MessageCounter, metrics: MilterMetrics, listener: Listener, control: ChildControl, limit: int
) -> None:
    """Tell the metrics what was counted, and the parent when this worker has done its share (`limit`; 0: never)."""
    message_counter.fold()
    metrics.connections.set(listener.connections)
    if limit and message_counter.total >= limit:
        control.report(ChildStatus.RESTART_DUE)


def _settle_down() -> None:
    """All that was made until now stays: the collector of cycles need not look at it again and again, with every
    message waiting."""
    gc.collect()
    gc.freeze()


def _until_parent_ends(
    control: ChildControl, handle: Callable[[ControlMessage], None], let_go: Callable[[], None]
) -> None:
    """End this process with its parent.

    At once, and not by way of libmilter: that takes seconds, and removes the socket's file in the end, where by then
    the next parent's socket may be.
    """
    try:
        control.listen(handle)
    finally:
        let_go()
        os._exit(1)


def _end_after_the_last(listener: Listener, end: Callable[[], None]) -> None:
    """End this process with its last connection. Not by way of libmilter, for the same reason as above."""
    quiet = 0
    while quiet < _QUIET_LOOKS:  # a connection that was just accepted does not show at once
        time.sleep(_LOOK_SECONDS)
        quiet = 0 if listener.connections else quiet + 1
    end()
    os._exit(0)


def _warn_of_durability(configuration: MilterConfiguration, log: Log) -> None:
    try:
        for sentence in queue_durability_faults(configuration.settings.queue):
            log.warning("the queue could lose reports", why=sentence)
    except NotAllowed:
        pass  # its user is a milter's own (config/redis/users.acl); the notifier's may ask, and has a gauge for it
    except Transient as error:
        log.warning("the queue is away; reports go to the spool until it is back", why=error)


def _in_background(name: str, work: Callable[[], None]) -> None:
    threading.Thread(target=work, name=name, daemon=True).start()
