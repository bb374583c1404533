"""The wait of a message for the milter, at half of the peak rate of one worker.

The load is open: each message has a due time and its latency counts from then, so a pause of the filter delays all
messages that become due in it. With even gaps, four connections are rarely busy at once; with random gaps (a Poisson
process, like real mail) they are. The C filter at the same rate shows the latency of machine and sockets alone; the
excess over it is the latency of Stopit.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from stopit_bench.bench import Bench, Found
from stopit_bench.filters import Filter, Run, c_filter, stopit_filter
from stopit_bench.interleave import interleave
from stopit_bench.record import Figure, Series, Unit, at_most, excess, figure
from stopit_bench.tools import NoopKind
from stopit_lab.site import Stores

__all__ = ["measure_latency"]

_PEAKS = 3
_C = "C, accepts at end of headers"
_GAPS = {"even gaps": False, "random gaps": True}
_TARGET = at_most(1.0)


def measure_latency(bench: Bench) -> Found:
    """Measure p99 at 4 connections and half of the peak rate: in all, and above that of the C filter."""
    with ExitStack() as stack:
        ours = {
            f"{stores.value}, {name}": (stores, workers)
            for workers, name in ((1, "one worker"), (2, "two workers"))
            for stores in Stores
        }
        filters: dict[str, Filter] = {
            name: stopit_filter(bench, stack, stores, workers) for name, (stores, workers) in ours.items()
        }
        rate = min(_peak(bench, filters[name]) for name, (_, workers) in ours.items() if workers == 1) / 2
        filters[_C] = c_filter(bench, stack, NoopKind.EOH)
        messages = int(rate * bench.sizes.paced_seconds)
        bench.say(f"{rate:.0f} messages/s for {bench.sizes.paced_seconds:g} s a run")
        runs = interleave(
            {
                f"{name}, {gaps}": partial(each.run, messages, rate=rate, poisson=poisson)
                for gaps, poisson in _GAPS.items()
                for name, each in filters.items()
            },
            bench.sizes.rounds,
        )
    p99 = {name: _percentile(name, found, 99) for name, found in runs.items()}
    figures: list[Figure] = []
    for gaps, poisson in _GAPS.items():
        target = None if poisson else _TARGET
        for name in ours:
            mine, other = p99[f"{name}, {gaps}"], p99[f"{_C}, {gaps}"]
            figures.append(figure(f"{mine.name}, in all", mine, None))
            figures.append(excess(f"{mine.name}, above that of {_C}", mine, other, target))
    series = tuple(each for name, found in runs.items() for each in (_percentile(name, found, 50), p99[name]))
    return Found(tuple(figures), series, notes=(f"Half of the peak rate of one worker: {rate:.0f} messages/s.",))


def _peak(bench: Bench, each: Filter) -> float:
    return max(each.run(bench.sizes.protocol).load.per_second for _ in range(_PEAKS))


def _percentile(name: str, runs: tuple[Run, ...], which: int) -> Series:
    values = (run.load.p50_us if which == 50 else run.load.p99_us for run in runs)
    return Series(f"{name}, p{which}", Unit.MILLISECONDS, tuple(value / 1000 for value in values))
