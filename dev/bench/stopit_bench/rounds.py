"""Both sides in one run: A B, B A, A B ..., so that a slow minute of the machine is on all of them.

Each second round goes backwards: what a side leaves behind (pages still to be written, a cold cache) is not always on
the same other one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

__all__ = ["interleave"]

T = TypeVar("T")


def interleave(sides: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, tuple[T, ...]]:
    """Call each side once in each round, forwards and backwards in turn; what each gave, round by round."""
    found: dict[str, list[T]] = {name: [] for name in sides}
    order = list(sides)
    for _ in range(rounds):
        for name in order:
            found[name].append(sides[name]())
        order.reverse()
    return {name: tuple(values) for name, values in found.items()}
