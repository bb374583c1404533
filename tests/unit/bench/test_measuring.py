"""Measuring without servers: taking turns, sizes, parts, processes, the report of a run, the chart."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from stopit_bench.interleave import interleave
from stopit_bench.plan import chosen, plans
from stopit_bench.processes import cpu_seconds, tree, usage
from stopit_bench.profile import Profile, sizes_of
from stopit_bench.record import Results
from stopit_bench.reports import flag_by, trace_of
from stopit_bench.tools import Load
from stopit_core.identity.keys import KEY_BYTES, Keyring
from stopit_core.model import Original
from stopit_core.wire import decode_report, encode_report


def test_measurements_take_turns() -> None:
    calls: list[str] = []

    def measure(name: str) -> int:
        calls.append(name)
        return len(calls)

    found = interleave({"A": lambda: measure("A"), "B": lambda: measure("B")}, 3)

    assert "".join(calls) == "ABBAAB"
    assert found == {"A": (1, 4, 5), "B": (2, 3, 6)}


def test_medians_are_of_at_least_five_rounds_unless_it_is_quick() -> None:
    for profile in (Profile.NORMAL, Profile.FULL):
        assert min(sizes_of(profile).rounds, sizes_of(profile).flood_rounds) >= 5
    assert sizes_of(Profile.QUICK).protocol < sizes_of(Profile.NORMAL).protocol
    assert sizes_of(Profile.QUICK, rounds=9).rounds == 9


class TestParts:
    def test_quick_leaves_the_slow_ones_out(self) -> None:
        assert {plan.name for plan in chosen((), quick=True)} == {plan.name for plan in plans() if plan.quick}
        assert chosen((), quick=False) == plans()

    def test_a_part_can_be_asked_for_by_name_also_in_quick(self) -> None:
        assert [plan.name for plan in chosen(("long", "milter"), quick=True)] == ["milter", "long"]

    def test_an_unknown_one_is_named_with_those_there_are(self) -> None:
        with pytest.raises(ValueError, match=r"no part mliter; the parts are milter, "):
            chosen(("mliter",), quick=False)


class TestProcesses:
    def test_a_tree_has_the_children_of_children(self) -> None:
        inner = "import sys; print('ready', flush=True); sys.stdin.read()"
        outer = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])"
        with subprocess.Popen(
            [sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            found = tree(process.pid)

        assert len(found) == 2
        assert found[0] == process.pid
        assert found[1] not in (process.pid, os.getpid())

    def test_usage_is_of_this_process(self) -> None:
        before = usage(os.getpid())
        with Path(__file__).open():
            during = usage(os.getpid())

        assert during.descriptors == before.descriptors + 1
        assert before.threads >= 1
        assert 2**20 < before.resident < 2**40

    def test_cpu_grows_with_work(self) -> None:
        before = cpu_seconds(os.getpid())
        while os.times().user < before + 0.5 and cpu_seconds(os.getpid()) == before:
            sum(range(10_000))

        assert cpu_seconds(os.getpid()) > before

    def test_what_is_gone_is_an_error(self) -> None:
        with subprocess.Popen([sys.executable, "-c", ""]) as process:
            process.wait()
        with pytest.raises(OSError, match=str(process.pid)):
            usage(process.pid)


class TestLoad:
    def load(self, **replies: int) -> Load:
        return Load(10, 1.0, 10.0, 1, 2, 3, 1000, "0x0", replies, {})

    def test_a_run_in_which_all_got_the_reply_counts(self) -> None:
        assert self.load(a=10).require("a").messages == 10

    @pytest.mark.parametrize("replies", [{"a": 9, "t": 1}, {"c": 10}, {}])
    def test_a_run_with_another_reply_is_refused(self, replies: dict[str, int]) -> None:
        with pytest.raises(RuntimeError, match="expected 10 times 'a'"):
            self.load(**replies).require("a")


class TestReports:
    keyring = Keyring(bytes(KEY_BYTES))

    def test_no_two_traces_are_alike(self) -> None:
        traces = [trace_of(self.keyring, number, 0.0) for number in range(2000)]

        assert len({trace.message for trace in traces}) == len(traces)
        assert len({trace.login for trace in traces}) == len(traces)

    def test_each_reporter_makes_a_report_of_their_own_that_the_notifier_can_read(self) -> None:
        original = self.keyring.message("one@example.edu")
        reports = [flag_by(f"member.{number}@example.edu", original, 1.0) for number in range(3)]

        assert len({report.id for report in reports}) == 3
        assert decode_report(encode_report(reports[0])) == reports[0]
        assert reports[0].originals == (Original(original),)


def test_the_chart_is_drawn_and_always_the_same(results: Results, tmp_path: Path) -> None:
    chart = pytest.importorskip("stopit_bench.chart", reason="the chart needs the bench group", exc_type=ImportError)
    curves = results.parts[1].curves
    for name in ("one", "two"):
        chart.draw(curves, "2 cores", tmp_path / f"{name}.png", tmp_path / f"{name}.svg")

    assert (tmp_path / "one.png").read_bytes().startswith(b"\x89PNG")
    svg = (tmp_path / "one.svg").read_text()
    assert "<svg" in svg
    assert svg == (tmp_path / "two.svg").read_text()
