"""Whether a report would be handled now: asked from outside, by another thread than the loop's.

The loop is the one that knows whether it gets on, so it says when it did a piece of work (`beat`) and how each turn
ended (`turned`). But a loop that has nothing to do tells nothing of a ledger that is away, and between two turns
nothing of a queue: so each store is asked as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from stopit_core.door import Part
from stopit_core.errors import Transient

__all__ = ["LoopPulse", "look"]

_GRACE = 30.0


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


def look(
    pulse: LoopPulse, stores: Sequence[tuple[str, Callable[[], None]]], private: Callable[[str], str]
) -> Sequence[Part]:
    """What a report needs. `stores`: the name of each, and what returns when it answers, else raises Transient.
    `private` makes text fit to be read by anybody."""
    return [*(Part(name, private(_fault(ping))) for name, ping in stores), Part("loop", private(pulse.fault))]


def _fault(ping: Callable[[], None]) -> str:
    try:
        ping()
    except Transient as error:
        return str(error)
    return ""
