"""Measurements that take turns, A B, B A, A B ..., so that a slow minute of the machine affects all of them.

Every second round goes backwards, because what a measurement leaves behind (pages still to be written, a cold cache)
must not always affect the same other one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

__all__ = ["interleave"]

T = TypeVar("T")


def interleave(calls: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, tuple[T, ...]]:
    """Make each call once per round, forwards and backwards in turn. Returns the results by name, round by round."""
    found: dict[str, list[T]] = {name: [] for name in calls}
    order = list(calls)
    for _ in range(rounds):
        for name in order:
            found[name].append(calls[name]())
        order.reverse()
    return {name: tuple(values) for name, values in found.items()}
