"""The arguments and the results of a part of the benchmark."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from stopit_bench.profile import Profile, Sizes
from stopit_bench.record import Curve, Figure, Series
from stopit_bench.tools import Tools

__all__ = ["Bench", "Found", "Measure", "PartPlan"]


@dataclass(frozen=True)
class Bench:
    """The arguments of a part: sizes, the C programs, a scratch directory, and a function that prints progress."""

    profile: Profile
    sizes: Sizes
    tools: Tools
    directory: Path
    say: Callable[[str], None]
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def place(self, name: str) -> Path:
        """Return a new path in the directory. Nothing exists there yet."""
        return self.directory / f"{name}-{next(self._numbers)}"


@dataclass(frozen=True)
class Found:
    """The results of a part."""

    figures: tuple[Figure, ...] = ()
    series: tuple[Series, ...] = ()
    curves: tuple[Curve, ...] = ()
    notes: tuple[str, ...] = ()


class Measure(Protocol):
    """A function that measures one part. Everything it started has ended when it returns or raises."""

    def __call__(self, bench: Bench) -> Found: ...


@dataclass(frozen=True)
class PartPlan:
    """A part. `--only NAME` runs it alone; `--quick` runs those with `quick`."""

    name: str
    title: str
    measure: Measure
    quick: bool = True
