"""Where results are kept, and what is made of them: the JSON, the chart, the tables of docs/performance.md."""

from __future__ import annotations

import os
from pathlib import Path

from stopit_bench.document import filled
from stopit_bench.effort import Effort
from stopit_bench.record import Results, from_json, merged, to_json

__all__ = ["default_output", "document", "keep", "read"]

_BENCH = Path(__file__).parents[1]
_RESULTS = _BENCH / "results"
_KEPT = "results.json"
_PAGE = _BENCH.parents[1] / "docs" / "performance.md"
_CHART = "cost"


def default_output(effort: Effort) -> Path:
    """Where the results of a run without `--only` go. Those of a quick run are not worth keeping for long."""
    return _RESULTS / ("quick.json" if effort is Effort.QUICK else _KEPT)


def read(path: Path) -> Results:
    """The results in a file. Raises ValueError that names it when it holds none, OSError when it cannot be read."""
    try:
        return from_json(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def keep(results: Results, output: Path) -> None:
    """Write the results; parts that the file has and these have not are kept.

    Raises ValueError when the file is of another machine.
    """
    whole = merged(read(output), results) if output.exists() else results
    output.parent.mkdir(exist_ok=True)
    output.write_bytes(to_json(whole))
    _to_owner_of_tree(output.parent, output)


def document() -> list[Path]:
    """Draw the chart and fill in docs/performance.md from the kept results; the files written."""
    # Here, because matplotlib takes most of a second, and who measures one part does not need it.
    from stopit_bench.chart import draw

    results = read(_RESULTS / _KEPT)
    _PAGE.write_text(filled(_PAGE.read_text("utf-8"), results), "utf-8")
    curves = [curve for part in results.parts for curve in part.curves]
    charts = [_RESULTS / f"{_CHART}.{kind}" for kind in ("png", "svg")]
    if curves:
        draw(curves, results.machine.hardware, *charts)
    written = [_PAGE, *(charts if curves else [])]
    _to_owner_of_tree(*written)
    return written


def _to_owner_of_tree(*paths: Path) -> None:
    """Nothing that root writes may stay root's in the tree of the person who called by sudo."""
    owner = _BENCH.stat()
    for path in paths:
        os.chown(path, owner.st_uid, owner.st_gid)
