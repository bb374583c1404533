"""A panel as a value: a question of ops, the PromQL that answers it, and from where on the answer is bad.

An expression is written once for both pages. Where a series is chosen it holds HERE, which each page replaces by its
own way to look at one job or one instance: `stopit_spool_depth{HERE}`, `up{job="stopit-milter",HERE}`. A legend names
labels in braces: "{kind}, {result}".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, StrEnum

__all__ = ["HERE", "Kind", "Limits", "Panel", "Query", "Row", "Unit", "shares"]

HERE = "HERE"
"""Stands in an expression where the choice of job and instance belongs."""

_BESIDE = 3

_KEY = re.compile(r"[a-z]+(-[a-z0-9]+)*")
_LABEL = re.compile(r"\{([a-z_]+)\}")


class Kind(StrEnum):
    """How a panel is drawn."""

    STAT = "stat"
    GRAPH = "graph"
    TABLE = "table"


class Unit(Enum):
    """What the numbers of a panel count."""

    COUNT = "count"
    PER_SECOND = "per second"
    SECONDS = "seconds"
    SHARE = "share"
    """0 to 1, shown as a percentage."""


@dataclass(frozen=True, slots=True)
class Query:
    """One expression. `legend` names each of its series; text without a label names its only one."""

    expr: str
    legend: str

    def __post_init__(self) -> None:
        if not self.legend:
            raise ValueError(f"no legend for {self.expr}")
        if HERE not in self.expr:
            raise ValueError(f"{self.expr} cannot be asked of one instance: it has no {HERE}")

    def at(self, selector: str) -> str:
        """The expression with this selector, such as `instance="host:9464"`, in place of HERE."""
        return self.expr.replace(HERE, selector)

    def name(self, before: str, after: str) -> str:
        """The legend with each label between these marks: "{{" and "}}" in Grafana, "[[" and "]]" in a console."""
        return _LABEL.sub(lambda found: before + found[1] + after, self.legend)


@dataclass(frozen=True, slots=True)
class Limits:
    """From where on a value is worth a look, and from where on it is bad. `falling`: the low values are bad."""

    look: float
    bad: float
    falling: bool = False

    def __post_init__(self) -> None:
        if (self.bad > self.look) if self.falling else (self.bad < self.look):
            raise ValueError(f"a value is bad ({self.bad:g}) before it is worth a look ({self.look:g})")


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `key` names it in links and tests. `answers` is what ops learn of it, in a sentence.

    `words` are said of 0 and of 1, where a number would be a riddle. `columns` are the labels that a table shows;
    `counts` is whether it shows the number too.
    """

    key: str
    title: str
    answers: str
    queries: tuple[Query, ...]
    unit: Unit = Unit.COUNT
    kind: Kind = Kind.GRAPH
    limits: Limits | None = None
    words: tuple[str, str] | None = None
    columns: tuple[str, ...] = ()
    counts: bool = True

    def __post_init__(self) -> None:
        if not _KEY.fullmatch(self.key):
            raise ValueError(f"{self.key!r} is no key: words of small letters, joined by hyphens")
        if not self.queries or (self.kind is not Kind.GRAPH and len(self.queries) > 1):
            raise ValueError(f"{self.key}: a graph has queries, a stat and a table have one")
        if self.limits and len(self.queries) > 1:
            raise ValueError(f"{self.key}: limits are of one query")
        if bool(self.columns) != (self.kind is Kind.TABLE):
            raise ValueError(f"{self.key}: a table has columns, and nothing else has")

    @property
    def worst(self) -> str:
        """An expression for the one value that the limits are about: of the worst instance, say."""
        return f"{'min' if self.limits and self.limits.falling else 'max'}({self.queries[0].expr})"


@dataclass(frozen=True, slots=True)
class Row:
    """Panels that answer one question together. `look` says what to look for in them, and where to go on."""

    title: str
    look: str
    panels: tuple[Panel, ...]

    def lines(self) -> Iterator[tuple[Panel, ...]]:
        """The panels as they stand side by side on a wide screen: stats on one line, the others three at most and
        spread evenly."""
        stats = tuple(panel for panel in self.panels if panel.kind is Kind.STAT)
        others = tuple(panel for panel in self.panels if panel.kind is not Kind.STAT)
        if stats:
            yield stats
        for left, width in shares(-(-len(others) // _BESIDE), len(others)):
            yield others[left : left + width]


def shares(parts: int, whole: int) -> Iterator[tuple[int, int]]:
    """`whole` cut into parts that differ by one at most: where each begins, and how much it is."""
    for part in range(parts):
        begin, end = part * whole // parts, (part + 1) * whole // parts
        yield begin, end - begin
