"""The readiness of a notifier: its stores answer, and its loop turns."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from stopit_core.daemon.http import CheckResult
from stopit_core.errors import Transient
from stopit_lab.waiting import until
from stopit_notifier.readiness import LoopPulse, StoreProbes, check_readiness


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def pulse(clock: Clock) -> LoopPulse:
    return LoopPulse(lambda: 90.0, clock)


def test_not_before_the_first_turn() -> None:
    beating = pulse(Clock())
    assert beating.fault == "has not completed a turn yet"
    beating.beat()
    assert beating.fault == "has not completed a turn yet"
    beating.turned(None)
    assert beating.fault is None


def test_what_the_last_turn_failed_at_is_its_fault_until_one_goes_well() -> None:
    beating = pulse(Clock())
    beating.turned("intake waits: ledger away")
    beating.beat()
    assert beating.fault == "intake waits: ledger away"
    beating.turned(None)
    assert beating.fault is None


def test_a_loop_that_hangs_for_longer_than_any_work_takes() -> None:
    clock = Clock()
    beating = pulse(clock)
    beating.turned(None)
    clock.now = 119
    assert beating.fault is None
    clock.now = 121
    assert beating.fault == "has done nothing for 121 s"
    beating.beat()
    assert beating.fault is None


def test_each_store_is_asked_and_no_address_is_told() -> None:
    def away() -> None:
        raise Transient("case record: vera@x.example is not unique")

    beating = pulse(Clock())
    beating.turned(None)
    probes = StoreProbes({"case record": away, "queue": lambda: None})

    found = check_readiness(beating, probes, lambda text: text.replace("vera@x.example", "-"))

    assert found == [
        CheckResult("case record", "case record: - is not unique"),
        CheckResult("queue"),
        CheckResult("loop"),
    ]


def test_a_store_that_went_silent_is_not_waited_for_and_not_asked_again() -> None:
    released, asked = threading.Event(), []

    def silent() -> None:
        asked.append(1)
        released.wait(60)

    probes = StoreProbes({"case record": silent, "queue": lambda: None})
    began = time.monotonic()
    for _ in range(2):
        assert probes.faults() == {"case record": "no answer within 3 s", "queue": None}
    assert time.monotonic() - began < 20
    assert len(asked) == 1

    released.set()
    until(lambda: probes.faults()["case record"] is None, "its answer")


def test_a_bug_in_a_store_is_no_answer() -> None:
    def broken() -> None:
        raise KeyError("vera@x.example")

    assert StoreProbes({"ledger": broken}).faults() == {"ledger": "KeyError"}
