"""The loop with doubles for its parts: the effects of a part that fails, and how the parts share the time."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import CollectorRegistry

from stopit_core.clock import Time
from stopit_core.daemon.logs import open_log
from stopit_core.errors import DecodeError, Transient
from stopit_core.metrics import NotifierMetrics
from stopit_core.stores.queue import Delivery
from stopit_notifier.faults import Faults, LoopStage
from stopit_notifier.loop import Loop
from stopit_notifier.reports.intake import ClaimedReport

NOW = 1_700_000_000.0


@dataclass
class Parts:
    """All parts of a loop. `broken` holds the exception of each call that fails."""

    broken: dict[str, Exception] = field(default_factory=dict)
    batches: list[list[ClaimedReport]] = field(default_factory=list)
    due: int = 0
    next_due_at: float | None = None
    go: bool = True
    done: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    patience: list[bool] = field(default_factory=list)
    slept: float = 0.0

    def did(self, what: str) -> None:
        self.done.append(what)
        if what in self.broken:
            raise self.broken[what]

    def check_ledger(self) -> None:
        self.did("ledger")

    def claim(self, limit: int, wait: float) -> list[list[ClaimedReport]]:
        self.waits.append(wait)
        self.did("claim")
        out, self.batches = self.batches, []
        return out

    def handle(self, batch: list[ClaimedReport]) -> None:
        self.did("report " + "+".join(each.delivery.id for each in batch))

    def run_once(self, patient: bool) -> bool:
        self.patience.append(patient)
        self.did("send")
        self.due -= self.due > 0
        return self.due > 0

    def next_due(self) -> float | None:
        return self.next_due_at

    def recover(self) -> None:
        self.did("recover")

    def sync(self) -> None:
        self.did("sync")

    def refresh(self) -> None:
        self.did("gauges")

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


class Running:
    """A loop over `Parts`."""

    def __init__(self, **given: Any) -> None:
        self.parts = parts = Parts(**given)
        self.registry = CollectorRegistry()
        self.metrics = NotifierMetrics(self.registry, [], [], [])
        self.said = io.StringIO()
        self.loop = Loop(
            lambda: parts.did("prepare"),
            parts,  # type: ignore[arg-type]
            parts,  # type: ignore[arg-type]
            [
                (LoopStage.OUTBOX, parts.recover),
                (LoopStage.OUTBOX, parts.sync),
                (LoopStage.GAUGES, parts.refresh),
            ],
            Faults(self.metrics, open_log("test", self.said), lambda text: text.replace("vera@x.example", "-")),
            Time(clock=lambda: NOW, sleep=parts.sleep),
            lambda: parts.go,
        )

    def turn(self) -> list[str]:
        self.parts.done = []
        self.loop.turn()
        return self.parts.done

    def faults(self, stage: str) -> float | None:
        return self.registry.get_sample_value("stopit_notifier_faults_total", {"stage": stage})


def batch(*names: str) -> list[ClaimedReport]:
    return [ClaimedReport(Delivery(name, b"", 1, NOW), DecodeError("not read here")) for name in names]


def alone(*names: str) -> list[list[ClaimedReport]]:
    return [batch(name) for name in names]


def test_turn_does_everything_in_order_and_stores_are_looked_at_once() -> None:
    running = Running(batches=alone("1"))

    first, second = running.turn(), running.turn()

    assert first == ["prepare", "ledger", "claim", "report 1", "send", "recover", "sync", "gauges"]
    assert second == ["claim", "send", "recover", "sync", "gauges"]
    assert running.loop.fault is None


def test_without_the_case_record_nothing_is_claimed() -> None:
    running = Running(broken={"prepare": Transient("away")})

    assert [running.turn(), running.turn()] == [["prepare"], ["prepare"]]

    assert (running.faults("intake"), running.loop.fault is None, running.parts.slept) == (2, False, 2.0)
    assert running.said.getvalue().count("away") == 1
    assert "away" in running.loop.status


def test_without_the_ledger_no_report_is_claimed_and_messages_are_sent() -> None:
    running = Running(broken={"ledger": Transient("away")})

    assert running.turn() == ["prepare", "ledger", "send", "recover", "sync", "gauges"]


def test_report_that_fails_for_a_store_is_the_last_that_is_claimed_before_the_store_answers() -> None:
    running = Running(broken={"report 1": Transient("away"), "ledger": Transient("away")})
    running.parts.broken.pop("ledger")
    running.turn()
    running.parts.batches = alone("1", "2")
    running.parts.broken["ledger"] = Transient("away")

    assert running.turn()[:3] == ["claim", "report 1", "send"]
    assert "claim" not in running.turn()
    running.parts.broken.clear()
    assert running.turn()[:3] == ["prepare", "ledger", "claim"]
    assert "no faults any more" in running.said.getvalue()


def test_bug_in_one_stage_stops_no_other_and_logs_no_address() -> None:
    running = Running(broken={"send": KeyError("vera@x.example")})

    assert running.turn()[-4:] == ["send", "recover", "sync", "gauges"]

    assert running.faults("outbox") == 1
    assert "KeyError" in running.said.getvalue()
    assert "vera@" not in running.said.getvalue()


def test_reports_and_messages_share_the_time() -> None:
    running = Running(batches=[batch(*map(str, range(255))), batch("255")], due=20)

    done = running.turn()

    assert (done.count("send"), sum(each.startswith("report") for each in done)) == (8, 2)
    assert running.parts.patience == [False] * 8  # more reports wait: they are decided while a batch is in flight
    assert running.turn().count("send") == 8
    assert running.parts.waits == [0.0, 0.0]


def test_batch_that_fails_is_logged_and_counted_and_each_of_its_reports_is_taken_alone() -> None:
    running = Running(batches=[batch("1", "2"), batch("3")], broken={"report 1+2": KeyError("vera@x.example")})

    done = running.turn()

    assert [each for each in done if each.startswith("report")] == ["report 1+2", "report 1", "report 2", "report 3"]
    assert running.faults("intake") == 1
    assert "KeyError" in running.said.getvalue()
    assert "vera@" not in running.said.getvalue()


def test_fault_that_comes_back_in_one_turn_is_logged_once() -> None:
    first, again = KeyError("vera@x.example"), KeyError("vera@x.example")
    running = Running(batches=[batch("1", "2")], broken={"report 1+2": first, "report 2": again})

    running.turn()

    assert running.said.getvalue().count("will retry") == 1
    assert running.said.getvalue().count("unexpected exception") == 1
    assert running.faults("intake") == 2


def test_fault_that_is_another_one_is_logged_too() -> None:
    running = Running(batches=[batch("1", "2")], broken={"report 1+2": KeyError(), "report 2": IndexError()})

    running.turn()

    assert [running.said.getvalue().count(name) for name in ("error=KeyError", "error=IndexError")] == [1, 1]
    assert running.said.getvalue().count("unexpected exception") == 2


def test_report_of_a_failed_batch_that_fails_alone_is_the_last_that_is_taken() -> None:
    away = Transient("away")
    running = Running(batches=[batch("1", "2", "3"), batch("4")], broken={"report 1+2+3": away, "report 2": away})

    done = running.turn()

    assert [each for each in done if each.startswith("report")] == ["report 1+2+3", "report 1", "report 2"]
    assert running.faults("intake") == 2


def test_it_waits_for_reports_until_the_next_message_is_due() -> None:
    running = Running()
    for due_at in (NOW + 0.5, NOW + 100, NOW - 1, None):
        running.parts.next_due_at = due_at
        running.turn()
    running.turn()

    assert running.parts.waits == [0.0, 0.5, 1.0, 0.05, 1.0]


def test_when_it_is_to_end_the_work_in_hand_is_finished_and_no_other_begun() -> None:
    running = Running(batches=alone("1", "2"), go=False)

    assert running.turn() == ["prepare", "ledger", "claim", "report 1"]
