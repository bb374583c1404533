"""The chart of docs/performance.md and README.md, as PNG and SVG: one panel per curve."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stopit_bench.record import Curve

__all__ = ["draw"]

_LOOKS = {
    "Stopit on sqlite": ("#1b6ca8", "o"),
    "Stopit on redis": ("#c8553d", "s"),
    "C, sees every step": ("#555555", "^"),
    "C, accepts at end of headers": ("#aaaaaa", "v"),
}
_OTHER = (None, "D")
_WIDE = 5.0
_HEADROOM = 1.08
_LOGARITHMIC_FROM = 16
"""An axis is logarithmic if its last value is at least this multiple of its first."""


def draw(curves: Sequence[Curve], machine: str, png: Path, svg: Path) -> None:
    """Write both files. Raises ValueError if there are no curves."""
    if not curves:
        raise ValueError("there are no curves in these results")
    columns = min(2, len(curves))
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(_WIDE * columns, 3.6 * rows), layout="constrained")
    for number, curve in enumerate(curves):
        _panel(figure.add_subplot(rows, columns, number + 1), curve)
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False)
    figure.suptitle(f"Unflagged mail at the milter protocol; {machine}", fontsize=10)
    # No date and no random ids: the same results must give the same file.
    with rc_context({"svg.hashsalt": "stopit"}):
        figure.savefig(png, dpi=110)
        figure.savefig(svg, metadata={"Date": None})


def _panel(axes: Axes, curve: Curve) -> None:
    for line in curve.lines:
        xs, ys = zip(*line.points, strict=True)
        colour, marker = _LOOKS.get(line.name, _OTHER)
        axes.plot(xs, ys, marker=marker, markersize=4, label=line.name, color=colour)
    ticks = sorted({x for line in curve.lines for x, _ in line.points})
    if ticks[-1] >= _LOGARITHMIC_FROM * ticks[0]:
        axes.set_xscale("log")
    axes.set_xticks(ticks, labels=[f"{x:,.10g}" for x in ticks])
    axes.minorticks_off()
    axes.set_ylim(0, _HEADROOM * max(y for line in curve.lines for _, y in line.points))
    axes.set_title(curve.title, fontsize=10)
    axes.set_xlabel(curve.x)
    axes.set_ylabel(curve.y)
    axes.grid(visible=True, alpha=0.3)
