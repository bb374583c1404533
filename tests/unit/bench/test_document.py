"""The tables of the document come from the results, and every part of the benchmark has its place in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from stopit_bench.document import MISSING, filled, places
from stopit_bench.plan import plans
from stopit_bench.record import Results
from stopit_bench.table import markdown_part

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "performance.md").read_text("utf-8")


def place(name: str, content: str = "old") -> str:
    return f"<!-- bench: {name} -->\n{content}\n<!-- /bench -->\n"


def test_a_place_is_filled_and_the_rest_stays(results: Results) -> None:
    page = f"Before.\n{place('milter')}Between.\n{place('curves')}After.\n"

    made = filled(page, results)

    parts = [markdown_part(part) for part in results.parts]
    assert made == f"Before.\n{place('milter', parts[0])}Between.\n{place('curves', parts[1])}After.\n"
    assert filled(made, results) == made


def test_a_part_that_was_not_measured_says_so(results: Results) -> None:
    page = place("milter") + place("curves") + place("long")

    assert place("long", MISSING) in filled(page, results)


def test_the_summary_has_every_figure_with_a_target(results: Results) -> None:
    made = filled(place("summary") + place("milter") + place("curves"), results)

    summary = made.partition("<!-- /bench -->")[0]
    assert "| Stopit, against C | 1.38 | at least 1.30 | met | milter |" in summary
    assert "| Stopit, p99 | 1.50 ms | at most 1 ms | missed | milter |" in summary
    assert "against a peer" not in summary


def test_results_without_a_place_are_refused(results: Results) -> None:
    with pytest.raises(ValueError, match="no place for curves"):
        filled(place("milter"), results)


def test_our_page_has_a_place_for_each_part() -> None:
    assert set(places(PAGE)) == {plan.name for plan in plans()} | {"machine", "summary"}
