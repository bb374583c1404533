"""Unflagged mail at the milter protocol: Stopit against the C filter that does nothing."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from stopit_bench.bench import Bench, Found
from stopit_bench.record import Figure, Series, at_least, ratio
from stopit_bench.rounds import interleave
from stopit_bench.sides import Side, c_side, our_side, series_of
from stopit_bench.tools import NoopKind
from stopit_lab.site import Stores

__all__ = ["measure_body", "measure_milter"]

_ALL = "C, sees every step"
_EOH = "C, accepts at end of headers"
_SMALL, _LARGE = 2_000, 200_000
_MORE = 3
"""Times the usual rounds: what a body may cost is less than what two runs of the same differ by."""
_TARGET = {1: at_least(1.3), 2: at_least(1.8)}
_WORKERS = {1: "one worker", 2: "two workers"}


def measure_milter(bench: Bench) -> Found:
    """One worker and two, on SQLite and on Redis, against both kinds of C filter."""
    with ExitStack() as stack:
        sides: dict[str, Side] = {
            _ALL: c_side(bench, stack, NoopKind.ALL),
            _EOH: c_side(bench, stack, NoopKind.EOH),
        }
        for stores in Stores:
            for workers in _WORKERS:
                sides[_name(stores, workers)] = our_side(bench, stack, stores, workers)
        bench.say(f"{len(sides)} filters, {bench.sizes.rounds} rounds of {bench.sizes.protocol} messages each")
        runs = interleave(
            {name: partial(side.run, bench.sizes.protocol) for name, side in sides.items()}, bench.sizes.rounds
        )
    rates: dict[str, Series] = {}
    series: list[Series] = []
    for name, found in runs.items():
        rates[name], cpu = series_of(name, found)
        series += (rates[name], cpu)
    figures: list[Figure] = []
    for stores in Stores:
        for workers, target in _TARGET.items():
            name = _name(stores, workers)
            figures.append(ratio(f"{name}, against {_ALL}", rates[name], rates[_ALL], target))
        for workers in _WORKERS:
            name = _name(stores, workers)
            figures.append(ratio(f"{name}, against {_EOH}", rates[name], rates[_EOH], at_least(0.4)))
    return Found(
        tuple(figures),
        tuple(series),
        notes=(
            "4 connections, 13 headers, 2 kB; ledger and metrics on; every trace of every run is in the ledger "
            "before the next side has its turn.",
        ),
    )


def measure_body(bench: Bench) -> Found:
    """A body of 200 kB against one of 2 kB, through the same milter."""
    with ExitStack() as stack:
        ours = our_side(bench, stack, Stores.SQLITE)
        other = c_side(bench, stack, NoopKind.ALL)
        runs = interleave(
            {
                f"{who}, {body // 1000} kB": partial(side.run, bench.sizes.large, body=body)
                for who, side in (("Stopit", ours), (_ALL, other))
                for body in (_SMALL, _LARGE)
            },
            bench.sizes.rounds * _MORE,
        )
    rates = {name: series_of(name, found)[0] for name, found in runs.items()}

    def slower(who: str) -> Figure:
        return ratio(f"{who}: 200 kB against 2 kB", rates[f"{who}, 200 kB"], rates[f"{who}, 2 kB"])

    within = ratio("Stopit: 200 kB against 2 kB", rates["Stopit, 200 kB"], rates["Stopit, 2 kB"], at_least(0.95))
    return Found((within, slower(_ALL)), tuple(rates.values()))


def _name(stores: Stores, workers: int) -> str:
    return f"{stores.value}, {_WORKERS[workers]}"
