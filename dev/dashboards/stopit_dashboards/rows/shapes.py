"""Short ways to write a panel, by its kind."""

from __future__ import annotations

from stopit_dashboards.panel import HERE, Kind, Limits, Panel, Query, Unit

__all__ = ["graph", "quantiles", "stat", "table"]


def stat(
    key: str,
    title: str,
    answers: str,
    expr: str,
    unit: Unit = Unit.COUNT,
    limits: Limits | None = None,
    words: tuple[str, str] | None = None,
) -> Panel:
    return Panel(key, title, answers, (Query(expr, title),), unit, Kind.STAT, limits, words)


def graph(
    key: str,
    title: str,
    answers: str,
    queries: dict[str, str],
    unit: Unit = Unit.COUNT,
    limits: Limits | None = None,
) -> Panel:
    """Return a graph. `queries` maps a legend to an expression."""
    asked = tuple(Query(expr, legend) for legend, expr in queries.items())
    return Panel(key, title, answers, asked, unit, Kind.GRAPH, limits)


def table(key: str, title: str, answers: str, columns: tuple[str, ...], expr: str, counts: bool = True) -> Panel:
    legend = ", ".join(f"{{{column}}}" for column in columns)
    return Panel(key, title, answers, (Query(expr, legend),), Unit.COUNT, Kind.TABLE, columns=columns, counts=counts)


def quantiles(histogram: str, window: str) -> dict[str, str]:
    """Return queries for the median and the 99th percentile of a histogram over the window."""
    seen = f"sum by (le) (rate({histogram}_bucket{{{HERE}}}[{window}]))"
    return {f"p{share:.0%}".rstrip("%"): f"histogram_quantile({share}, {seen})" for share in (0.5, 0.99)}
