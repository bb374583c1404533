"""The results file, and the tables of the document that are made from it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from stopit_bench.plan import plans
from stopit_bench.record import Results
from stopit_bench.storage import PAGE, RESULTS, read, write
from stopit_bench.table import PLACE, filled


def test_results_are_read_as_they_were_written(results: Results, tmp_path: Path) -> None:
    write(results, tmp_path / "results.json")

    assert read(tmp_path / "results.json") == results


def test_a_part_that_was_not_measured_again_stays_in_the_file(results: Results, tmp_path: Path) -> None:
    again = msgspec.structs.replace(results.parts[1], made="2026-11-23")
    write(results, tmp_path / "results.json")

    write(msgspec.structs.replace(results, parts=(again,)), tmp_path / "results.json")

    assert read(tmp_path / "results.json").parts == (results.parts[0], again)


def test_a_file_without_results_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text("{}")
    with pytest.raises(ValueError, match="missing required field"):
        read(tmp_path / "results.json")


def test_the_page_has_a_place_for_each_part_and_what_the_file_says() -> None:
    page = PAGE.read_text("utf-8")

    assert {name for _, name, _ in PLACE.findall(page)} == {plan.name for plan in plans()} | {"machine", "summary"}
    assert filled(page, read(RESULTS)) == page
