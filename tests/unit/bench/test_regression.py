"""What --check compares: ratios in the direction of their target, and never times."""

from __future__ import annotations

import msgspec
import pytest

from stopit_bench.record import Figure, Results, Unit, at_least, at_most, once
from stopit_bench.regression import changes


def with_figures(results: Results, *figures: Figure) -> Results:
    part = msgspec.structs.replace(results.parts[0], figures=figures)
    return msgspec.structs.replace(results, parts=(part,))


@pytest.mark.parametrize(
    ("figure", "now", "worse_by"),
    [
        (once("rate", Unit.RATIO, 2.0, at_least(1)), 1.5, 0.25),
        (once("rate", Unit.RATIO, 2.0, at_least(1)), 2.5, -0.25),
        (once("trace", Unit.BYTES, 100, at_most(150)), 120, 0.2),
        (once("trace", Unit.BYTES, 100, at_most(150)), 90, -0.1),
        (once("threads", Unit.COUNT, 0, at_most(0)), 1, 1.0),
    ],
)
def test_worse_is_away_from_the_target(results: Results, figure: Figure, now: float, worse_by: float) -> None:
    old = with_figures(results, figure)
    new = with_figures(results, msgspec.structs.replace(figure, value=now))

    (change,) = changes(old, new)

    assert change.worse_by == pytest.approx(worse_by)
    assert change.beyond(0.1) is (worse_by > 0.1)


@pytest.mark.parametrize(
    "figure",
    [once("p99", Unit.MILLISECONDS, 1, at_most(1)), once("a peer", Unit.RATIO, 3)],
    ids=["time", "no target"],
)
def test_what_depends_on_the_machine_or_has_no_target_is_left_out(results: Results, figure: Figure) -> None:
    old, new = (with_figures(results, msgspec.structs.replace(figure, value=value)) for value in (1, 100))

    assert changes(old, new) == []


def test_a_figure_that_is_new_or_gone_is_left_out(results: Results) -> None:
    old = with_figures(results, once("then", Unit.RATIO, 1, at_least(1)))
    new = with_figures(results, once("now", Unit.RATIO, 1, at_least(1)))

    assert changes(old, new) == []
