"""Tables of the results, for a terminal and for docs/performance.md.

In the document, the text between `<!-- bench: NAME -->` and `<!-- /bench -->` is replaced. NAME is a part, "machine"
or "summary".
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from stopit_bench.machine import Machine
from stopit_bench.record import Curve, Figure, Part, Results, Series, TargetResult, Unit

__all__ = ["PLACE", "filled", "number", "text"]

PLACE = re.compile(r"(<!-- bench: ([a-z]+) -->\n).*?(<!-- /bench -->)", re.S)

_FIGURES = ("figure", "median", "rounds, from to", "target", "")
_SUMMARY = ("figure", "median", "target", "", "part")
_SERIES = ("measured", "median", "from", "to", "unit")


def text(results: Results) -> str:
    """Return all parts as plain text, after the machine."""
    lines = _machine_lines(results.machine)
    for part in results.parts:
        lines += ["", f"{part.title}  ({part.command})"]
        for head, rows in _tables(part):
            lines += ["", *_aligned(head, rows)]
        lines += [f"  {note}" for note in part.notes]
    return "\n".join(lines) + "\n"


def filled(page: str, results: Results) -> str:
    """Return the page with the tables of these results. A place whose part was not measured stays as it is."""
    contents = {part.name: _markdown_part(part) for part in results.parts}
    contents["machine"] = "\n".join(f"- {line}" for line in _machine_lines(results.machine))
    contents["summary"] = "\n".join(_piped(_SUMMARY, list(_summary_rows(results))))
    return PLACE.sub(
        lambda place: f"{place[1]}{contents[place[2]]}\n{place[3]}" if place[2] in contents else place[0], page
    )


def number(value: float, unit: Unit) -> str:
    """Return a number with its significant digits and its unit."""
    if unit is Unit.RATIO:
        return f"{value:.2f}"
    digits = 0 if abs(value) >= 100 or value == int(value) else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f} {unit.value}".rstrip()


def _markdown_part(part: Part) -> str:
    lines = [f"`{part.command}`, {part.made}:"]
    for head, rows in _tables(part):
        lines += ["", *_piped(head, rows)]
    for note in part.notes:
        lines += ["", note]
    return "\n".join(lines)


def _machine_lines(machine: Machine) -> list[str]:
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    return [
        f"{machine.hardware}; {machine.system}, kernel {machine.kernel}",
        f"Stopit {machine.stopit}, Python {machine.python}; {packages}",
    ]


def _summary_rows(results: Results) -> Iterator[tuple[str, ...]]:
    """Yield a row for each figure that has a target."""
    for part in results.parts:
        for each in part.figures:
            if each.target_result is not TargetResult.NONE:
                name, median, _, target, target_result = _figure_row(each)
                yield (name, median, target, target_result, part.name)


def _tables(part: Part) -> Iterator[tuple[Sequence[str], list[Sequence[str]]]]:
    """Yield the tables of a part that have rows: figures, series, then one for each curve."""
    if part.figures:
        yield _FIGURES, [_figure_row(each) for each in part.figures]
    if part.series:
        yield _SERIES, [_series_row(each) for each in part.series]
    for curve in part.curves:
        yield (f"{curve.title} ({curve.x}), {curve.y}", *(line.name for line in curve.lines)), _curve_rows(curve)


def _curve_rows(curve: Curve) -> list[Sequence[str]]:
    lines = [dict(line.points) for line in curve.lines]
    xs = sorted({x for points in lines for x in points})
    return [(f"{x:,.10g}", *(f"{points[x]:,.0f}" if x in points else "" for points in lines)) for x in xs]


def _figure_row(figure: Figure) -> tuple[str, ...]:
    target = f"{figure.target.sense} {number(figure.target.limit, figure.unit)}" if figure.target else ""
    low, high = number(figure.low, figure.unit), number(figure.high, figure.unit)
    spread = "" if figure.low == figure.high else f"{low} to {high}"
    return (figure.name, number(figure.value, figure.unit), spread, target, figure.target_result.value)


def _series_row(series: Series) -> tuple[str, ...]:
    bare = (series.median, min(series.values), max(series.values))
    return (
        series.name,
        *(number(value, series.unit).removesuffix(series.unit.value).strip() for value in bare),
        series.unit.value,
    )


def _aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.rjust(width) if at == 1 else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  " + "  ".join(cells).rstrip()

    return [line(head), *map(line, rows)]


def _piped(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    def line(row: Sequence[str]) -> str:
        return "| " + " | ".join(row) + " |"

    return [line(head), line(["---"] * len(head)), *map(line, rows)]
