"""Both sides in one run: A B A B ..., so that a slow minute of the machine is on all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

__all__ = ["interleave"]

T = TypeVar("T")


def interleave(sides: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, tuple[T, ...]]:
    """Call each side once in each round, in order; what each gave, round by round."""
    found: dict[str, list[T]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, measure in sides.items():
            found[name].append(measure())
    return {name: tuple(values) for name, values in found.items()}
