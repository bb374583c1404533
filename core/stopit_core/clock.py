"""Time and chance as a program takes them. Constructors are given a `Time`, so that tests can set it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Time"]


def _system_draw() -> Callable[[], float]:
    return random.SystemRandom().random


@dataclass(frozen=True, slots=True)
class Time:
    """The clocks, the sleep and the random numbers of a program; those of the system by default.

    `clock` returns seconds since the epoch, `monotonic` seconds that no setting of the clock moves. `sleep` waits for
    a number of seconds, or less. `draw` returns a random number in [0, 1).
    """

    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], object] = time.sleep
    draw: Callable[[], float] = field(default_factory=_system_draw)
