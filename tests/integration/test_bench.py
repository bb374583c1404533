"""The benchmark measures real filters and a real Postfix, and writes results that can be read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stopit_bench.record import Results
from stopit_bench.storage import read

pytestmark = pytest.mark.integration


def bench(output: Path, *arguments: str) -> Results:
    """Return the results that `./run bench` writes, of one round."""
    command = [sys.executable, "-m", "stopit_bench", "--quick", "--rounds", "1", "--output", str(output), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return read(output)


def test_parts_are_measured_and_written_to_one_file(tmp_path: Path) -> None:
    output = tmp_path / "results.json"

    bench(output, "--only", "body")
    results = bench(output, "--only", "postfix")

    assert [part.name for part in results.parts] == ["body", "postfix"]
    for part in results.parts:
        assert all(figure.value > 0 for figure in part.figures)
        assert all(value > 0 for series in part.series for value in series.values)
    assert results.machine.packages["postfix"]


def test_an_unknown_part_is_refused_before_anything_starts(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stopit_bench", "--only", "mliter", "--output", str(tmp_path / "results.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "there is no part mliter; the parts are milter," in done.stderr
    assert list(tmp_path.iterdir()) == []
