"""What was measured, as values: series of rounds, figures made of them with their targets, curves; and as JSON.

A figure is what counts: most are ratios of two series that were measured in turn, so that a slow minute of the
machine is on both sides. `low` and `high` are the worst and the best round.
"""

from __future__ import annotations

from enum import StrEnum
from statistics import median

import msgspec

from stopit_bench.effort import Effort
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
    "Unit",
    "Verdict",
    "at_least",
    "at_most",
    "excess",
    "figure",
    "from_json",
    "merged",
    "once",
    "ratio",
    "to_json",
]

_FORMAT = 1


class Unit(StrEnum):
    """What a number counts. RATIO has no unit; PERCENT is of a hundred."""

    RATIO = "times"
    PERCENT = "%"
    PER_SECOND = "/s"
    MILLISECONDS = "ms"
    MICROSECONDS = "us"
    SECONDS = "s"
    BYTES = "bytes"
    MEBIBYTES = "MiB"
    COUNT = ""

    @property
    def is_time(self) -> bool:
        """Whether it says more of the machine than of the program."""
        return self in (Unit.PER_SECOND, Unit.MILLISECONDS, Unit.MICROSECONDS, Unit.SECONDS)


class Sense(StrEnum):
    """Which side of a target is well."""

    AT_LEAST = "at least"
    AT_MOST = "at most"


class Verdict(StrEnum):
    """What became of a target."""

    MET = "met"
    MISSED = "missed"
    NONE = ""


class Target(msgspec.Struct, frozen=True):
    """A bound for a figure."""

    sense: Sense
    limit: float

    def holds(self, value: float) -> bool:
        """Whether a value is within the bound."""
        return value >= self.limit if self.sense is Sense.AT_LEAST else value <= self.limit


class Series(msgspec.Struct, frozen=True):
    """One number for each round."""

    name: str
    unit: Unit
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return median(self.values)


class Figure(msgspec.Struct, frozen=True):
    """A number that is asked for, from its worst to its best round, and its target where it has one."""

    name: str
    unit: Unit
    value: float
    low: float
    high: float
    target: Target | None = None

    @property
    def verdict(self) -> Verdict:
        """Whether the target is met."""
        if self.target is None:
            return Verdict.NONE
        return Verdict.MET if self.target.holds(self.value) else Verdict.MISSED


class Line(msgspec.Struct, frozen=True):
    """One line of a chart: (x, y) points with x ascending."""

    name: str
    points: tuple[tuple[float, float], ...]


class Curve(msgspec.Struct, frozen=True):
    """One chart: how a cost grows with `x`."""

    title: str
    x: str
    y: str
    lines: tuple[Line, ...]


class Part(msgspec.Struct, frozen=True):
    """One part of the benchmark as it came out. `command` does it again; `notes` say how to read it."""

    name: str
    title: str
    command: str
    made: str
    effort: Effort
    figures: tuple[Figure, ...] = ()
    series: tuple[Series, ...] = ()
    curves: tuple[Curve, ...] = ()
    notes: tuple[str, ...] = ()


class Results(msgspec.Struct, frozen=True):
    """Everything of one machine."""

    machine: Machine
    parts: tuple[Part, ...]
    format: int = _FORMAT


def at_least(limit: float) -> Target:
    """A lower bound."""
    return Target(Sense.AT_LEAST, limit)


def at_most(limit: float) -> Target:
    """An upper bound."""
    return Target(Sense.AT_MOST, limit)


def ratio(name: str, ours: Series, other: Series, target: Target | None = None) -> Figure:
    """The median of the rounds' ratios. Raises ValueError when the series are not of the same rounds."""
    ratios = [a / b for a, b in zip(ours.values, other.values, strict=True)]
    return _of(name, Unit.RATIO, ratios, target)


def excess(name: str, ours: Series, other: Series, target: Target | None = None) -> Figure:
    """The median of the rounds' differences. Raises ValueError when the series are not of the same rounds."""
    differences = [a - b for a, b in zip(ours.values, other.values, strict=True)]
    return _of(name, ours.unit, differences, target)


def figure(name: str, series: Series, target: Target | None = None) -> Figure:
    """The median of a series."""
    return _of(name, series.unit, list(series.values), target)


def once(name: str, unit: Unit, value: float, target: Target | None = None) -> Figure:
    """A figure of a single measurement."""
    return Figure(name, unit, value, value, value, target)


def to_json(results: Results) -> bytes:
    """The results as a file holds them."""
    return msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n"


def from_json(data: bytes) -> Results:
    """What `to_json` wrote. Raises ValueError on anything else."""
    results = msgspec.json.decode(data, type=Results)
    if results.format != _FORMAT:
        raise ValueError(f"results of format {results.format}; this version reads {_FORMAT}")
    return results


def merged(old: Results, new: Results) -> Results:
    """The new parts in place of the old ones of their names. Raises ValueError when it was another machine."""
    if old.machine.hardware != new.machine.hardware:
        raise ValueError(f"those results are of another machine: {old.machine.hardware}, not {new.machine.hardware}")
    fresh = {part.name: part for part in new.parts}
    kept = [fresh.pop(part.name, part) for part in old.parts]
    return Results(new.machine, (*kept, *fresh.values()))


def _of(name: str, unit: Unit, values: list[float], target: Target | None) -> Figure:
    return Figure(name, unit, median(values), min(values), max(values), target)
