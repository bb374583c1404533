"""Metrics of several worker processes, and a histogram that records a number of observations in one call.

The processes of the milter count in shared files (`in_child`, the multiprocess mode of prometheus_client). The files
of a role are numbered, and a process uses the first number that no running process holds. So a restarted worker uses
the same files again, a worker that replaces another one before that has ended gets its own, and the number of files
does not grow.
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
    """A histogram that records a number of observations in one call."""

    def observe_all(self, amounts: Sequence[float]) -> None:
        """Record all amounts. Equivalent to `observe` for each."""
        places = Tallied(bisect_left(self._upper_bounds, amount) for amount in amounts)
        if not places:
            return
        self._sum.inc(sum(amounts))
        for place, number in places.items():
            self._buckets[place].inc(number)


def in_child(directory: Path, role: str) -> None:
    """Let this process count in files of its own for this role. Call before any metric is created."""
    names = (f"{role}-{turn}" for turn in count())
    name = next(name for name in names if _is_ours(directory / f"{name}.lock"))
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)
    values.ValueClass = values.MultiProcessValue(lambda: name)  # type: ignore[no-untyped-call]


def gathered(directory: Path) -> CollectorRegistry:
    """Return a registry that combines the counts of all processes in `directory`."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(directory))  # type: ignore[no-untyped-call]
    return registry


def _is_ours(lock: Path) -> bool:
    """Take a lock that the process holds until it ends. Return False if another process holds it."""
    descriptor = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    return True
