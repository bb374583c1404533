"""The trace writer: the child that writes the workers' traces to the ledger, and lets the ledger expire.

There is one for all workers: two processes that write to one SQLite file wait for each other, and one batch costs
less than two. It handles no mail, so it may block its interpreter.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry

from stopit_core.daemon.logs import Log
from stopit_core.daemon.systemd import Live
from stopit_core.decision.context import DecisionContext
from stopit_core.metrics import MilterMetrics
from stopit_core.metrics.multiprocess import in_child
from stopit_core.model import ContactReport, Digest, Trace
from stopit_core.open_stores import open_ledger, open_queue
from stopit_core.stores.ledger import Ledger
from stopit_core.stores.ledger.writer import TraceWriter, WriterLimits
from stopit_core.stores.queue.failover_copies import FailoverCopies
from stopit_core.stores.queue.spool import DurableReports, Spool
from stopit_milter.process.control import ChildControl, ChildStatus
from stopit_milter.process.periodic import trace_counter
from stopit_milter.process.reload import ActiveConfiguration, MilterConfiguration
from stopit_milter.process.trace_pipe import TracePipe

__all__ = ["STOP_SECONDS", "contact_reporter", "run_writer", "writer_to"]

_LIMITS = WriterLimits()
_ROOM_SECONDS = 0.1
"""Longest time that received traces wait for room in the writer's buffer, in seconds. The next wait in the pipe."""
STOP_SECONDS = 3.0
"""Longest time that a process spends at its end on the traces in its buffer, in seconds."""


def run_writer(
    control: ChildControl,
    configuration: MilterConfiguration,
    trace_pipe: TracePipe,
    metrics_dir: Path,
    log: Log,
    reload_refused: bool,
) -> int:
    """Write the workers' traces until all of them and the parent have closed the pipe. Return the exit code.

    Signals are ignored, because the workers may still have traces when one arrives.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    in_child(metrics_dir, "writer")
    metrics = MilterMetrics(CollectorRegistry())
    settings = configuration.settings
    active = ActiveConfiguration(configuration, metrics, log, reload_refused)
    queue, ledger, spool = open_queue(settings.queue), open_ledger(settings.ledger), Spool(settings.queue.spool_dir)
    writer = writer_to(ledger, active.live, DurableReports(FailoverCopies(queue, spool), spool), metrics)
    writer.start()
    threading.Thread(target=control.listen, args=(active.handle,), name="control", daemon=True).start()
    control.report(ChildStatus.READY)
    for traces in trace_pipe.received():
        writer.wait_for_room(_ROOM_SECONDS)
        for trace in traces:
            writer.offer(trace)
    writer.stop(STOP_SECONDS)
    metrics.reset_gauges()
    queue.close()
    ledger.close()
    return 0


def writer_to(
    ledger: Ledger,
    live: Live[DecisionContext],
    reports: DurableReports,
    metrics: MilterMetrics,
    limits: WriterLimits = _LIMITS,
) -> TraceWriter:
    """Return a trace writer, not started, that counts in `metrics` and reports the contacts of watched pairs."""

    def sender_of(trace: Trace) -> str:
        return live.current.people.sender(trace).address

    return TraceWriter(
        ledger,
        live.current.keyring,
        sender_of,
        contact_reporter(reports, live),
        trace_counter(metrics),
        limits=limits,
    )


def contact_reporter(reports: DurableReports, live: Live[DecisionContext]) -> Callable[[Trace, Digest], None]:
    """Return a function that reports mail between a watched pair."""

    def report(trace: Trace, pair: Digest) -> None:
        # The digest of the Message-ID is part of it, because the MTA may give no queue id.
        report_id = live.current.keyring.report_id("contact", trace.queue_id, trace.message.hex(), pair.hex())
        reports.put(ContactReport(id=report_id, at=trace.seen, queue_id=trace.queue_id, pair=pair))

    return report
