"""How worker processes count together, and how many observations are made at the price of one.

The milter runs in processes that share files (`in_child`, prometheus_client's multiprocess mode). Each role has two
names for its files, of which a process takes the first that no living one has: so a worker that is started again goes
on counting in the same files, one that relieves another has its own, and none pile up.
"""

from __future__ import annotations

import fcntl
import os
from bisect import bisect_left
from collections import Counter as Tallied
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from prometheus_client import CollectorRegistry, Histogram, values
from prometheus_client.multiprocess import MultiProcessCollector

__all__ = ["BatchHistogram", "gathered", "in_child"]


class BatchHistogram(Histogram):
    """A histogram that takes many observations at the price of one."""

    def observe_all(self, amounts: Sequence[float]) -> None:
        """The same as `observe` of each."""
        places = Tallied(bisect_left(self._upper_bounds, amount) for amount in amounts)
        if not places:
            return
        self._sum.inc(sum(amounts))
        for place, number in places.items():
            self._buckets[place].inc(number)


def in_child(directory: Path, role: str) -> None:
    """Make this process count in files of its role that are its own. Call before any metric is made."""
    names = (f"{role}-{turn}" for turn in count())
    name = next(name for name in names if _is_ours(directory / f"{name}.lock"))
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    values.ValueClass = values.MultiProcessValue(lambda: name)  # type: ignore[no-untyped-call]


def gathered(directory: Path) -> CollectorRegistry:
    """A registry that adds up what all processes count in `directory`."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(directory))  # type: ignore[no-untyped-call]
    return registry


def _is_ours(lock: Path) -> bool:
    """Take a lock that is held until this process ends, however it does; False when another one has it."""
    descriptor = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    return True
