"""Unflagged mail at the milter protocol: Stopit against the C filter that does nothing."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from stopit_bench.bench import Bench, Found
from stopit_bench.filters import Filter, c_filter, series_of, stopit_filter
from stopit_bench.interleave import interleave
from stopit_bench.record import Figure, Series, at_least, ratio
from stopit_bench.tools import NoopKind
from stopit_lab.site import Stores

__all__ = ["measure_body", "measure_milter"]

_ALL = "C, sees every step"
_EOH = "C, accepts at end of headers"
_SMALL, _LARGE = 2_000, 200_000
_MORE = 3
"""A multiple of the usual rounds, because the allowed cost of a body is less than the noise of one run."""
_TARGET = {1: at_least(1.3), 2: at_least(1.8)}
_WORKERS = {1: "one worker", 2: "two workers"}


def measure_milter(bench: Bench) -> Found:
    """Compare one and two workers, on SQLite and on Redis, with both kinds of C filter."""
    with ExitStack() as stack:
        filters: dict[str, Filter] = {
            _ALL: c_filter(bench, stack, NoopKind.ALL),
            _EOH: c_filter(bench, stack, NoopKind.EOH),
        }
        for stores in Stores:
            for workers in _WORKERS:
                filters[_name(stores, workers)] = stopit_filter(bench, stack, stores, workers)
        bench.say(f"{len(filters)} filters, {bench.sizes.rounds} rounds of {bench.sizes.protocol} messages each")
        runs = interleave(
            {name: partial(each.run, bench.sizes.protocol) for name, each in filters.items()}, bench.sizes.rounds
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
            "4 connections, 13 headers, 2 kB; ledger and metrics on; all traces of a run are in the ledger before "
            "the next filter is measured.",
        ),
    )


def measure_body(bench: Bench) -> Found:
    """Compare a body of 200 kB with one of 2 kB, through the same milter."""
    with ExitStack() as stack:
        ours = stopit_filter(bench, stack, Stores.SQLITE)
        other = c_filter(bench, stack, NoopKind.ALL)
        runs = interleave(
            {
                f"{who}, {body // 1000} kB": partial(each.run, bench.sizes.large, body=body)
                for who, each in (("Stopit", ours), (_ALL, other))
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
