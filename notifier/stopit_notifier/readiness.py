"""Whether a report would be handled now: asked from outside, by another thread than the loop's.

The loop is the one that knows whether it gets on, so it says when it did a piece of work (`beat`) and how each turn
ended (`turned`). But a loop that has nothing to do tells nothing of a ledger that is away, and between two turns
nothing of a queue: so each store is asked as well. A store that does not answer is not waited for: whoever asks,
Prometheus above all, would give up before a database that went silent does, and then hear nothing at all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from stopit_core.daemon.http import Part
from stopit_core.errors import Transient

__all__ = ["LoopPulse", "Stores", "look"]

_GRACE = 30.0
_PATIENCE = 3.0


class LoopPulse:
    """What the loop says of itself. `longest`: seconds that one piece of work may take."""

    def __init__(self, longest: Callable[[], float], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._longest = longest
        self._monotonic = monotonic
        self._at = monotonic()
        self._trouble = "is at its first turn"

    def beat(self) -> None:
        """A piece of work is done."""
        self._at = self._monotonic()

    def turned(self, trouble: str) -> None:
        """A turn ended, and this is what it failed at ("": at nothing)."""
        self.beat()
        self._trouble = trouble

    @property
    def fault(self) -> str:
        """What is wrong with the loop, "" when it does its work."""
        silent = self._monotonic() - self._at
        if silent > self._longest() + _GRACE:
            return f"has done nothing for {silent:.0f} s"
        return self._trouble


class _Question:
    """One store, asked in a thread of its own: the thread goes on after the asker gave up, and ends with the
    process."""

    def __init__(self, ping: Callable[[], None]) -> None:
        self._ping = ping
        self._fault = ""
        self._thread = threading.Thread(target=self._ask, name="readiness", daemon=True)
        self._thread.start()

    @property
    def open(self) -> bool:
        """Whether there is no answer yet."""
        return self._thread.is_alive()

    def answer(self, until: float) -> str:
        """What is wrong with the store, "" when nothing is; waited for until this time on the monotonic clock."""
        self._thread.join(max(0.0, until - time.monotonic()))
        return f"no answer within {_PATIENCE:g} s" if self.open else self._fault

    def _ask(self) -> None:
        try:
            self._ping()
        except Transient as error:
            self._fault = str(error)
        except Exception as error:  # noqa: BLE001  whatever it is, the store did not answer as it should
            self._fault = type(error).__name__


class Stores:
    """The stores by name, with what returns when each answers, else raises Transient. For one asker at a time."""

    def __init__(self, pings: Mapping[str, Callable[[], None]]) -> None:
        self._pings = pings
        self._questions: dict[str, _Question] = {}

    def faults(self) -> dict[str, str]:
        """What is wrong with each, "" when nothing is. All are asked at once; one that still owes its answer to
        the question before is not asked again."""
        for name, ping in self._pings.items():
            before = self._questions.get(name)
            if before is None or not before.open:
                self._questions[name] = _Question(ping)
        until = time.monotonic() + _PATIENCE
        return {name: question.answer(until) for name, question in self._questions.items()}


def look(pulse: LoopPulse, stores: Stores, private: Callable[[str], str]) -> Sequence[Part]:
    """What a report needs. `private` makes text fit to be read by anybody."""
    found = {**stores.faults(), "loop": pulse.fault}
    return [Part(name, private(fault)) for name, fault in found.items()]
