"""What stands between libmilter and every callback that the MTA waits for: nothing is raised out of one.

Left to itself pymilter answers 451 to an exception, even to KeyboardInterrupt, and SystemExit hangs the connection.
So everything is caught here, and the session answers by what it knows of the message (`give_way`). The steps that go
unanswered (SMFIP_NR_*), some fifteen a message, catch for themselves: there nobody can be told, so the fault is
remembered for the next step that has an answer.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from stopit_core.metrics import Stage
from stopit_milter.mta import Mta

__all__ = ["Guarded", "answered"]


class Guarded(Protocol):
    """A session as its guard sees it. `began` is when the step in hand did (seconds, of the performance counter)."""

    stage: Stage
    began: float

    def remember(self, fault: BaseException, stage: Stage) -> None:
        """Count and log a fault of ours. Raises nothing."""

    def give_way(self, mta: Mta) -> int:
        """What to answer for a message after a fault. Raises nothing."""

    def step_ended(self) -> None:
        """Take down how long it took. Raises nothing."""


S = TypeVar("S", bound=Guarded)
P = ParamSpec("P")
Step = Callable[Concatenate[S, Mta, P], int]


def answered(stage: Stage) -> Callable[[Step[S, P]], Step[S, P]]:
    """For a callback that the MTA waits for."""

    def decorate(callback: Step[S, P]) -> Step[S, P]:
        def guard(self: S, mta: Mta, /, *args: P.args, **kwargs: P.kwargs) -> int:
            self.began = time.perf_counter()
            self.stage = stage
            try:
                return callback(self, mta, *args, **kwargs)
            except BaseException as fault:  # noqa: BLE001  see the module's docstring
                self.remember(fault, self.stage)
                return self.give_way(mta)
            finally:
                self.step_ended()

        return functools.update_wrapper(guard, callback)

    return decorate
