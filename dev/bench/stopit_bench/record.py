"""Measured values: series of rounds, figures made of them with their targets, and curves.

Most figures are ratios of two series that were measured in turn, so that a slow minute of the machine affects both.
"""

from __future__ import annotations

from enum import StrEnum
from statistics import median

import msgspec

from stopit_bench.machine import Machine

__all__ = [
    "Curve",
    "Figure",
    "Line",
    "Part",
    "Results",
    "Sense",
    "Series",
    "Target",
    "TargetResult",
    "Unit",
    "at_least",
    "at_most",
    "excess",
    "figure",
    "once",
    "ratio",
]


class Unit(StrEnum):
    """The unit of a number. RATIO and COUNT have none."""

    RATIO = "times"
    PERCENT = "%"
    PER_SECOND = "/s"
    MILLISECONDS = "ms"
    MICROSECONDS = "us"
    SECONDS = "s"
    BYTES = "bytes"
    MEBIBYTES = "MiB"
    COUNT = ""


class Sense(StrEnum):
    """The side of a target: a lower or an upper bound."""

    AT_LEAST = "at least"
    AT_MOST = "at most"


class TargetResult(StrEnum):
    """A figure compared with its target; NONE without a target."""

    MET = "met"
    MISSED = "missed"
    NONE = ""


class Target(msgspec.Struct, frozen=True):
    """A bound for a figure."""

    sense: Sense
    limit: float

    def holds(self, value: float) -> bool:
        """Return whether a value is within the bound."""
        return value >= self.limit if self.sense is Sense.AT_LEAST else value <= self.limit


class Series(msgspec.Struct, frozen=True):
    """One number for each round."""

    name: str
    unit: Unit
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return median(self.values)


class Figure(msgspec.Struct, frozen=True):
    """The median of the rounds, with the lowest and the highest round, and a target or None."""

    name: str
    unit: Unit
    value: float
    low: float
    high: float
    target: Target | None = None

    @property
    def target_result(self) -> TargetResult:
        """The comparison with the target."""
        if self.target is None:
            return TargetResult.NONE
        return TargetResult.MET if self.target.holds(self.value) else TargetResult.MISSED


class Line(msgspec.Struct, frozen=True):
    """One line of a chart: its (x, y) points, with x ascending."""

    name: str
    points: tuple[tuple[float, float], ...]


class Curve(msgspec.Struct, frozen=True):
    """One chart: the growth of a cost with `x`."""

    title: str
    x: str
    y: str
    lines: tuple[Line, ...]


class Part(msgspec.Struct, frozen=True):
    """The results of one part. `command` repeats the measurement; `notes` explain the tables."""

    name: str
    title: str
    command: str
    made: str
    figures: tuple[Figure, ...] = ()
    series: tuple[Series, ...] = ()
    curves: tuple[Curve, ...] = ()
    notes: tuple[str, ...] = ()


class Results(msgspec.Struct, frozen=True):
    """The results of one machine."""

    machine: Machine
    parts: tuple[Part, ...]


def at_least(limit: float) -> Target:
    """Return a lower bound."""
    return Target(Sense.AT_LEAST, limit)


def at_most(limit: float) -> Target:
    """Return an upper bound."""
    return Target(Sense.AT_MOST, limit)


def ratio(name: str, ours: Series, other: Series, target: Target | None = None) -> Figure:
    """Return the median of the ratios, round by round. Raises ValueError if the series differ in length."""
    ratios = [a / b for a, b in zip(ours.values, other.values, strict=True)]
    return _of(name, Unit.RATIO, ratios, target)


def excess(name: str, ours: Series, other: Series, target: Target | None = None) -> Figure:
    """Return the median of the differences, round by round. Raises ValueError if the series differ in length."""
    differences = [a - b for a, b in zip(ours.values, other.values, strict=True)]
    return _of(name, ours.unit, differences, target)


def figure(name: str, series: Series, target: Target | None = None) -> Figure:
    """Return the median of a series as a figure."""
    return _of(name, series.unit, list(series.values), target)


def once(name: str, unit: Unit, value: float, target: Target | None = None) -> Figure:
    """Return a figure of a single measurement."""
    return Figure(name, unit, value, value, value, target)


def _of(name: str, unit: Unit, values: list[float], target: Target | None) -> Figure:
    return Figure(name, unit, median(values), min(values), max(values), target)
