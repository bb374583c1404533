"""Figures: medians of the ratios of rounds, and their targets."""

from __future__ import annotations

import pytest

from stopit_bench.record import (
    Series,
    Target,
    TargetResult,
    Unit,
    at_least,
    at_most,
    excess,
    figure,
    once,
    ratio,
)


def rates(name: str, *values: float) -> Series:
    return Series(name, Unit.PER_SECOND, values)


class TestRatio:
    def test_is_the_median_of_the_rounds_and_no_ratio_of_medians(self) -> None:
        """In the second round, the machine was slow for both."""
        ours, theirs = rates("ours", 100, 10, 150), rates("theirs", 50, 5, 100)

        found = ratio("ours", ours, theirs)

        assert (found.value, found.low, found.high) == (2.0, 1.5, 2.0)
        assert found.unit is Unit.RATIO

    def test_of_different_rounds_is_refused(self) -> None:
        with pytest.raises(ValueError, match="shorter"):
            ratio("ours", rates("ours", 1, 2), rates("theirs", 1))

    def test_excess_is_the_median_of_the_differences(self) -> None:
        ours = Series("ours", Unit.MILLISECONDS, (3.0, 9.0, 2.0))
        theirs = Series("theirs", Unit.MILLISECONDS, (2.0, 8.5, 0.0))

        found = excess("ours, above theirs", ours, theirs)

        assert (found.value, found.low, found.high, found.unit) == (1.0, 0.5, 2.0, Unit.MILLISECONDS)


class TestTargetResult:
    @pytest.mark.parametrize(
        ("target", "value", "result"),
        [
            (at_least(1.3), 1.3, TargetResult.MET),
            (at_least(1.3), 1.29, TargetResult.MISSED),
            (at_most(150), 150, TargetResult.MET),
            (at_most(150), 151, TargetResult.MISSED),
            (None, 0, TargetResult.NONE),
        ],
    )
    def test_a_bound_holds_up_to_its_limit(self, target: Target | None, value: float, result: TargetResult) -> None:
        assert once("it", Unit.COUNT, value, target).target_result is result

    def test_the_median_counts_and_not_the_worst_round(self) -> None:
        assert figure("it", rates("it", 1, 5, 6), at_least(5)).target_result is TargetResult.MET
