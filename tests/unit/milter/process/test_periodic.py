"""The periodic tasks of a worker."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stopit_core.daemon.logs import open_log
from stopit_core.daemon.systemd import Live
from stopit_core.decision.context import DecisionContext
from stopit_core.errors import Transient
from stopit_core.metrics import MilterMetrics
from stopit_core.model import ContactReport, Digest, Trace
from stopit_core.stores.ledger.writer import TraceEvent
from stopit_core.stores.queue.spool import Spool
from stopit_core.stores.queue.sqlite import SqliteQueue
from stopit_lab.waiting import until
from stopit_milter.process.periodic import PeriodicTask, SpoolDrainer, trace_counter
from stopit_milter.process.trace_writer import contact_reporter


class AwayQueue(SqliteQueue):
    """A queue that can be taken away."""

    away = False

    def put(self, report_id: str, payload: bytes) -> None:
        if self.away:
            raise Transient("away")
        super().put(report_id, payload)


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


@pytest.fixture
def queue(tmp_path: Path) -> AwayQueue:
    return AwayQueue(tmp_path / "queue.db", 10)


def test_the_spool_is_drained_once_the_queue_is_back(
    spool: Spool, queue: AwayQueue, metrics: MilterMetrics, log_lines: io.StringIO, counted: Callable[..., float]
) -> None:
    drainer = SpoolDrainer(spool, queue, metrics, open_log("stopit-milter", log_lines))
    assert drainer.drain_once() == 0
    for name in ("a", "b"):
        spool.put(name, b"report")
    queue.away = True
    assert drainer.drain_once() == drainer.drain_once() == 2
    assert counted("stopit_spool_depth") == 2
    assert counted("stopit_milter_faults_total", stage="spool") == 2
    assert log_lines.getvalue().count("cannot be drained") == 1
    queue.away = False
    assert drainer.drain_once() == 0
    assert counted("stopit_spool_depth") == 0
    assert [delivery.payload for delivery in queue.waiting(10)] == [b"report"] * 2
    queue.close()


def test_a_spool_that_cannot_be_read_is_no_reason_to_end(
    tmp_path: Path, queue: AwayQueue, metrics: MilterMetrics, log_lines: io.StringIO, counted: Callable[..., float]
) -> None:
    class Unreadable(Spool):
        def depth(self) -> int:
            raise Transient("no")

    drainer = SpoolDrainer(Unreadable(tmp_path), queue, metrics, open_log("x", log_lines))
    again = PeriodicTask("spool", drainer.drain_once, pause=0.01)
    again.start()
    until(lambda: counted("stopit_milter_faults_total", stage="spool") >= 2, "two looks")
    assert again.stop(5)
    queue.close()


@pytest.mark.parametrize(
    ("event", "series", "label"),
    [
        (TraceEvent.WRITTEN, "stopit_traces_total", {"result": "written"}),
        (TraceEvent.DROPPED, "stopit_traces_total", {"result": "dropped"}),
        (TraceEvent.FAULT, "stopit_milter_faults_total", {"stage": "ledger"}),
        (TraceEvent.CONTACT_LOST, "stopit_milter_faults_total", {"stage": "ledger"}),
    ],
)
def test_events_of_the_writer_are_counted(
    metrics: MilterMetrics, counted: Callable[..., float], event: TraceEvent, series: str, label: dict[str, str]
) -> None:
    trace_counter(metrics)(event, 3)
    assert counted(series, **label) == 3


def test_a_contact_of_a_watched_pair_is_one_report(context: DecisionContext, doubles: Any) -> None:
    tell = contact_reporter(doubles, Live(context))
    trace = Trace(message=context.keyring.message("a@b"), seen=5.0, queue_id="4X1")
    tell(trace, Digest(b"12345678"))
    tell(trace, Digest(b"12345678"))
    tell(trace, Digest(b"87654321"))
    assert {type(report) for report in doubles.reports} == {ContactReport}
    assert [report.pair for report in doubles.reports] == [b"12345678", b"12345678", b"87654321"]
    assert len({report.id for report in doubles.reports}) == 2
    assert (doubles.reports[0].at, doubles.reports[0].queue_id) == (5.0, "4X1")
