"""A panel: an operator's question, the PromQL expression that answers it, and the limits of a good answer.

One expression serves both pages. HERE marks the place where a page puts its selector for a job or an instance:
`stopit_spool_depth{HERE}`, `up{job="stopit-milter",HERE}`. A legend names labels in braces: "{kind}, {result}".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, StrEnum

__all__ = ["HERE", "Kind", "Limits", "Panel", "Query", "Row", "Unit", "shares"]

HERE = "HERE"
"""Marks the place in an expression for the selector of job and instance."""

_BESIDE = 3

_KEY = re.compile(r"[a-z]+(-[a-z0-9]+)*")
_LABEL = re.compile(r"\{([a-z_]+)\}")


class Kind(StrEnum):
    """The form in which a panel is drawn."""

    STAT = "stat"
    GRAPH = "graph"
    TABLE = "table"


class Unit(Enum):
    """The unit of a panel's numbers."""

    COUNT = "count"
    PER_SECOND = "per second"
    SECONDS = "seconds"
    SHARE = "share"
    """0 to 1, shown as a percentage."""


@dataclass(frozen=True, slots=True)
class Query:
    """One expression. `legend` names each of its series; a text without a label names the only one."""

    expr: str
    legend: str

    def __post_init__(self) -> None:
        if not self.legend:
            raise ValueError(f"no legend for {self.expr}")
        if HERE not in self.expr:
            raise ValueError(f"{self.expr} cannot be asked of one instance: it has no {HERE}")

    def at(self, selector: str) -> str:
        """Return the expression with a selector, such as `instance="host:9464"`, in place of HERE."""
        return self.expr.replace(HERE, selector)

    def name(self, before: str, after: str) -> str:
        """Return the legend with its labels between marks: "{{" and "}}" in Grafana, "[[" and "]]" in a
        console.
        """
        return _LABEL.sub(lambda found: before + found[1] + after, self.legend)


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a value: notable from `look`, bad from `bad`. If `falling`, low values are bad."""

    look: float
    bad: float
    falling: bool = False

    def __post_init__(self) -> None:
        if (self.bad > self.look) if self.falling else (self.bad < self.look):
            raise ValueError(f"a value is bad ({self.bad:g}) before it is worth a look ({self.look:g})")


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `key` names it in links and tests. `answers` says in a sentence what operators learn from it.

    `words` replace the numbers 0 and 1. A table shows the labels of `columns`, and also the number if it `counts`.
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
        """An expression for the value that the limits apply to, such as that of the worst instance."""
        return f"{'min' if self.limits and self.limits.falling else 'max'}({self.queries[0].expr})"


@dataclass(frozen=True, slots=True)
class Row:
    """Panels that together answer one question. `look` says what to look for in them, and where to continue."""

    title: str
    look: str
    panels: tuple[Panel, ...]

    def lines(self) -> Iterator[tuple[Panel, ...]]:
        """Return the panels in lines, for a wide screen.

        Stats are on one line. The others are at most three per line and evenly spread.
        """
        stats = tuple(panel for panel in self.panels if panel.kind is Kind.STAT)
        others = tuple(panel for panel in self.panels if panel.kind is not Kind.STAT)
        if stats:
            yield stats
        for left, width in shares(-(-len(others) // _BESIDE), len(others)):
            yield others[left : left + width]


def shares(parts: int, whole: int) -> Iterator[tuple[int, int]]:
    """Divide `whole` into parts that differ by at most one. Returns the start and the size of each."""
    for part in range(parts):
        begin, end = part * whole // parts, (part + 1) * whole // parts
        yield begin, end - begin
