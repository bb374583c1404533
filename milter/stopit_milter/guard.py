"""What stands between libmilter and every callback: nothing is raised out of one, and its time is counted.

Left to itself pymilter answers 451 to an exception, even to KeyboardInterrupt, and SystemExit hangs the connection.
So everything is caught here, and the session answers by what it knows of the message (`give_way`). In a step that
goes unanswered (SMFIP_NR_*) nobody can be told: the fault is remembered for the next step that has an answer.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Protocol

import Milter

from stopit_core.metrics import Stage

__all__ = ["Guarded", "answered", "unanswered"]

_CONTINUE: int = Milter.CONTINUE
_NOREPLY: int = Milter.NOREPLY


class Guarded(Protocol):
    """A session as its guard sees it. `_protocol` are the steps that were negotiated (`Milter.Base`).

    `spent` counts the seconds of all callbacks of a message that ended, `began` is when the one in hand did.
    """

    _protocol: int
    stage: Stage
    spent: float
    began: float

    def remember(self, fault: BaseException) -> None:
        """Count and log a fault of ours. Raises nothing."""

    def give_way(self) -> int:
        """What to answer for a message after a fault. Raises nothing."""


def answered(stage: Stage) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """For a callback that the MTA waits for."""

    def decorate(callback: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(callback)
        def guard(self: Guarded, *args: object) -> int:
            self.began = time.perf_counter()
            self.stage = stage
            try:
                return callback(self, *args)
            except BaseException as fault:  # noqa: BLE001  see the module's docstring
                self.remember(fault)
                return self.give_way()
            finally:
                self.spent += time.perf_counter() - self.began

        return guard

    return decorate


def unanswered(stage: Stage, step: int) -> Callable[[Callable[..., None]], Callable[..., int]]:
    """For a callback that only collects. `step` is its SMFIP_NR_* bit: the MTA is asked not to wait for it."""

    def decorate(callback: Callable[..., None]) -> Callable[..., int]:
        @functools.wraps(callback)
        def guard(self: Guarded, *args: object) -> int:
            self.began = time.perf_counter()
            self.stage = stage
            try:
                callback(self, *args)
            except BaseException as fault:  # noqa: BLE001  see the module's docstring
                self.remember(fault)
            finally:
                self.spent += time.perf_counter() - self.began
            return _NOREPLY if self._protocol & step else _CONTINUE

        guard.milter_protocol = step  # type: ignore[attr-defined]  # where Milter.Base looks when it negotiates
        return guard

    return decorate
