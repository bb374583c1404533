"""What each part of the benchmark is given, and what it gives."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from stopit_bench.effort import Effort, Sizes
from stopit_bench.record import Curve, Figure, Series
from stopit_bench.tools import Tools

__all__ = ["Bench", "Found", "Measure", "PartPlan"]


@dataclass(frozen=True)
class Bench:
    """The means: sizes, the C programs, a directory, and somebody to tell what is being done."""

    effort: Effort
    sizes: Sizes
    tools: Tools
    directory: Path
    say: Callable[[str], None]
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def place(self, name: str) -> Path:
        """A path of its own in the directory; nothing is there yet."""
        return self.directory / f"{name}-{next(self._numbers)}"


@dataclass(frozen=True)
class Found:
    """What a part found."""

    figures: tuple[Figure, ...] = ()
    series: tuple[Series, ...] = ()
    curves: tuple[Curve, ...] = ()
    notes: tuple[str, ...] = ()


class Measure(Protocol):
    """Measures one part. Everything it started has ended when it returns or raises."""

    def __call__(self, bench: Bench) -> Found: ...


@dataclass(frozen=True)
class PartPlan:
    """One part: `--only NAME` runs it alone. `quick`: whether it is in `--quick`."""

    name: str
    title: str
    measure: Measure
    quick: bool = True
