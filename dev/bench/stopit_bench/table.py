"""Results as people read them: in a terminal, and in Markdown. One source, so that the two cannot differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from stopit_bench.machine import Machine
from stopit_bench.record import Curve, Figure, Part, Results, Series, Unit

__all__ = ["machine_lines", "markdown_part", "number", "text"]

_FIGURES = ("figure", "median", "rounds, from to", "target", "")
_SERIES = ("measured", "median", "from", "to", "unit")


def text(results: Results) -> str:
    """All parts as plain text, the machine first."""
    lines = machine_lines(results.machine)
    for part in results.parts:
        lines += ["", f"{part.title}  ({part.command})"]
        for head, rows in _tables(part):
            lines += ["", *_aligned(head, rows)]
        lines += [f"  {note}" for note in part.notes]
    return "\n".join(lines) + "\n"


def markdown_part(part: Part) -> str:
    """One part as Markdown tables."""
    lines = [f"`{part.command}`, {part.made}:"]
    for head, rows in _tables(part):
        lines += ["", *_piped(head, rows)]
    for note in part.notes:
        lines += ["", note]
    return "\n".join(lines)


def machine_lines(machine: Machine) -> list[str]:
    """The machine in a few lines."""
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    return [
        f"{machine.hardware}; {machine.system}, kernel {machine.kernel}",
        f"Stopit {machine.stopit}, Python {machine.python}; {packages}",
    ]


def number(value: float, unit: Unit) -> str:
    """A number with as many digits as mean something, and its unit."""
    if unit is Unit.RATIO:
        return f"{value:.2f}"
    digits = 0 if abs(value) >= 100 or value == int(value) else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}{'' if unit in (Unit.COUNT,) else ' ' + unit.value}"


def _tables(part: Part) -> Iterator[tuple[Sequence[str], list[Sequence[str]]]]:
    """The tables of a part that have rows: figures, series, then one for each curve."""
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
    return (figure.name, number(figure.value, figure.unit), spread, target, figure.verdict.value)


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
