"""When a notifier says that it would handle a report: its stores answer, and its loop turns."""

from __future__ import annotations

from dataclasses import dataclass

from stopit_core.door import Part
from stopit_core.errors import Transient
from stopit_notifier.readiness import LoopPulse, look


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def pulse(clock: Clock) -> LoopPulse:
    return LoopPulse(lambda: 90.0, clock)


def test_not_before_the_first_turn() -> None:
    beating = pulse(Clock())
    assert beating.fault == "is at its first turn"
    beating.beat()
    assert beating.fault == "is at its first turn"
    beating.turned("")
    assert beating.fault == ""


def test_what_the_last_turn_failed_at_is_its_fault_until_one_goes_well() -> None:
    beating = pulse(Clock())
    beating.turned("intake waits: ledger away")
    beating.beat()
    assert beating.fault == "intake waits: ledger away"
    beating.turned("")
    assert beating.fault == ""


def test_a_loop_that_hangs_for_longer_than_any_work_takes() -> None:
    clock = Clock()
    beating = pulse(clock)
    beating.turned("")
    clock.now = 119
    assert beating.fault == ""
    clock.now = 121
    assert beating.fault == "has done nothing for 121 s"
    beating.beat()
    assert beating.fault == ""


def test_each_store_is_asked_and_no_address_is_told() -> None:
    def away() -> None:
        raise Transient("case record: vera@x.example is not unique")

    beating = pulse(Clock())
    beating.turned("")
    stores = [("case record", away), ("queue", lambda: None)]

    found = look(beating, stores, lambda text: text.replace("vera@x.example", "-"))

    assert found == [Part("case record", "case record: - is not unique"), Part("queue"), Part("loop")]
