"""Figures: medians of the rounds' ratios, targets, and what is written to the file and read again."""

from __future__ import annotations

import msgspec
import pytest

from stopit_bench.effort import Effort
from stopit_bench.machine import Machine
from stopit_bench.record import (
    Curve,
    Line,
    Part,
    Results,
    Series,
    Target,
    Unit,
    Verdict,
    at_least,
    at_most,
    excess,
    figure,
    from_json,
    merged,
    once,
    ratio,
    to_json,
)

MACHINE = Machine(2, "Some CPU", 24, "6.1", "Debian 12", "3.11.2", "0.1.0", {"postfix": "3.7.11"})


def rates(name: str, *values: float) -> Series:
    return Series(name, Unit.PER_SECOND, values)


def part(name: str, *values: float) -> Part:
    found = ratio(
        "ours, against theirs", rates("ours", *values), rates("theirs", *(100.0 for _ in values)), at_least(1)
    )
    return Part(name, "A title", f"./run bench --only {name}", "2026-11-22", Effort.NORMAL, figures=(found,))


class TestRatio:
    def test_is_the_median_of_the_rounds_and_no_ratio_of_medians(self) -> None:
        """In the second round the machine was slow, for both."""
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


class TestVerdict:
    @pytest.mark.parametrize(
        ("target", "value", "verdict"),
        [
            (at_least(1.3), 1.3, Verdict.MET),
            (at_least(1.3), 1.29, Verdict.MISSED),
            (at_most(150), 150, Verdict.MET),
            (at_most(150), 151, Verdict.MISSED),
            (None, 0, Verdict.NONE),
        ],
    )
    def test_a_bound_holds_up_to_its_limit(self, target: Target | None, value: float, verdict: Verdict) -> None:
        assert once("it", Unit.COUNT, value, target).verdict is verdict

    def test_the_median_counts_and_not_the_worst_round(self) -> None:
        assert figure("it", rates("it", 1, 5, 6), at_least(5)).verdict is Verdict.MET


class TestFile:
    def test_is_read_as_it_was_written(self) -> None:
        curve = Curve("Size", "kB", "messages a second", (Line("ours", ((2.0, 100.0), (200.0, 99.0))),))
        drawn = Part("curves", "A title", "a command", "2026-11-22", Effort.FULL, curves=(curve,), notes=("a note",))
        results = Results(MACHINE, (part("milter", 130), drawn))

        assert from_json(to_json(results)) == results

    def test_of_another_format_is_refused(self) -> None:
        data = to_json(msgspec.structs.replace(Results(MACHINE, ()), format=99))
        with pytest.raises(ValueError, match="format 99"):
            from_json(data)

    def test_that_is_none_is_refused(self) -> None:
        with pytest.raises(ValueError, match="malformed"):
            from_json(b"not json")


class TestMerged:
    def test_new_parts_take_the_place_of_old_ones(self) -> None:
        old = Results(MACHINE, (part("milter", 100), part("body", 100)))
        new = Results(msgspec.structs.replace(MACHINE, kernel="6.2"), (part("body", 200), part("long", 300)))

        both = merged(old, new)

        assert [(each.name, each.figures[0].value) for each in both.parts] == [
            ("milter", 1.0),
            ("body", 2.0),
            ("long", 3.0),
        ]
        assert both.machine.kernel == "6.2"

    def test_of_another_machine_is_refused(self) -> None:
        other = msgspec.structs.replace(MACHINE, cores=64)
        with pytest.raises(ValueError, match=r"2 cores.* not 64 cores"):
            merged(Results(MACHINE, ()), Results(other, ()))
