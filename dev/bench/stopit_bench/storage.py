"""The results file, and what is made from it: the chart, and the tables of docs/performance.md."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from stopit_bench.record import Results
from stopit_bench.table import filled

__all__ = ["PAGE", "RESULTS", "document", "read", "write"]

_BENCH = Path(__file__).parents[1]
RESULTS = _BENCH / "results" / "results.json"
PAGE = _BENCH.parents[1] / "docs" / "performance.md"


def read(path: Path) -> Results:
    """Return the results in a file. Raises ValueError if it holds none, OSError if it cannot be read."""
    return msgspec.json.decode(path.read_bytes(), type=Results)


def write(results: Results, path: Path) -> None:
    """Write the results. Parts of the file that were not measured now stay in it."""
    known = read(path).parts if path.exists() else ()
    parts = {part.name: part for part in (*known, *results.parts)}
    whole = msgspec.structs.replace(results, parts=tuple(parts.values()))
    path.write_bytes(msgspec.json.format(msgspec.json.encode(whole), indent=1) + b"\n")
    _give_to_owner_of_tree(path)


def document() -> list[Path]:
    """Fill in docs/performance.md and draw the chart from the results file. Returns the files written."""
    # Imported here because matplotlib takes most of a second, and only the chart needs it.
    from stopit_bench.chart import draw

    results = read(RESULTS)
    png, svg = (RESULTS.with_name(f"cost.{kind}") for kind in ("png", "svg"))
    PAGE.write_text(filled(PAGE.read_text("utf-8"), results), "utf-8")
    draw([curve for part in results.parts for curve in part.curves], results.machine.hardware, png, svg)
    _give_to_owner_of_tree(PAGE, png, svg)
    return [PAGE, png, svg]


def _give_to_owner_of_tree(*paths: Path) -> None:
    """Change the owner of files that root wrote to the owner of the tree, who called ./run with sudo."""
    owner = _BENCH.stat()
    for path in paths:
        os.chown(path, owner.st_uid, owner.st_gid)
