"""The growth of the cost with the size of a message, the connections, the workers and the ledger, for the chart."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from statistics import median

from stopit_bench.bench import Bench, Found
from stopit_bench.filling import fill
from stopit_bench.filters import Filter, c_filter, stopit_filter
from stopit_bench.interleave import interleave
from stopit_bench.record import Curve, Line
from stopit_bench.tools import NoopKind
from stopit_core.open_stores import open_ledger
from stopit_lab.site import Stores

__all__ = ["measure_curves"]

_BODIES = (2_000, 20_000, 200_000, 1_000_000)
_LARGEST_SUM = 400_000_000
_CONNECTIONS = (1, 2, 4, 8, 16, 32)
_WORKERS = (1, 2, 3, 4)
_RATE = "messages a second"
_NAMES = {NoopKind.ALL: "C, sees every step", NoopKind.EOH: "C, accepts at end of headers"}


def measure_curves(bench: Bench) -> Found:
    """Measure four curves of Stopit and the C filters."""
    with ExitStack() as stack:
        filters: dict[str, Filter] = {
            f"Stopit on {stores.value}": stopit_filter(bench, stack, stores) for stores in Stores
        }
        filters |= {name: c_filter(bench, stack, kind) for kind, name in _NAMES.items()}
        curves = [_by_body(bench, filters), _by_connections(bench, filters)]
    return Found(curves=(*curves, _by_workers(bench), _by_ledger(bench)))


def _by_body(bench: Bench, filters: Mapping[str, Filter]) -> Curve:
    bench.say("by size of the body")

    def rate(each: Filter, body: int) -> float:
        messages = min(bench.sizes.large, max(200, _LARGEST_SUM // body))
        return each.run(messages, body=body).load.per_second

    return Curve("Size of the body", "kB", _RATE, _lines(bench, filters, _BODIES, rate, scale=1 / 1000))


def _by_connections(bench: Bench, filters: Mapping[str, Filter]) -> Curve:
    bench.say("by connections")

    def rate(each: Filter, connections: int) -> float:
        return each.run(bench.sizes.large, connections=connections).load.per_second

    return Curve("Connections of the MTA", "connections", _RATE, _lines(bench, filters, _CONNECTIONS, rate))


def _by_workers(bench: Bench) -> Curve:
    points: dict[str, list[tuple[float, float]]] = {}
    for workers in _WORKERS:
        bench.say(f"{workers} workers")
        with ExitStack() as stack:
            filters: dict[str, Filter] = {
                f"Stopit on {stores.value}": stopit_filter(bench, stack, stores, workers) for stores in Stores
            }
            filters |= {name: c_filter(bench, stack, kind) for kind, name in _NAMES.items()}
            for name, rate in _medians(bench, filters).items():
                points.setdefault(name, []).append((workers, rate))
    return Curve("Worker processes", "workers", _RATE, _as_lines(points))


def _by_ledger(bench: Bench) -> Curve:
    points: dict[str, list[tuple[float, float]]] = {}
    for traces in bench.sizes.curve_ledger:
        bench.say(f"{traces:,} traces in the ledger")
        with ExitStack() as stack:
            filters: dict[str, Filter] = {_NAMES[NoopKind.ALL]: c_filter(bench, stack, NoopKind.ALL)}
            for stores in Stores:
                ours = stopit_filter(bench, stack, stores)
                ledger = open_ledger(ours.site.settings.ledger)
                try:
                    fill(ledger, ours.site.keyring, traces, time.time(), say=bench.say)
                finally:
                    ledger.close()
                filters[f"Stopit on {stores.value}"] = ours
            for name, rate in _medians(bench, filters).items():
                points.setdefault(name, []).append((traces, rate))
    return Curve("Traces in the ledger", "traces", _RATE, _as_lines(points))


def _medians(bench: Bench, filters: Mapping[str, Filter]) -> dict[str, float]:
    runs = interleave({name: _once(each, bench) for name, each in filters.items()}, bench.sizes.curve_rounds)
    return {name: median(found) for name, found in runs.items()}


def _once(each: Filter, bench: Bench) -> Callable[[], float]:
    return lambda: each.run(bench.sizes.large).load.per_second


def _lines(
    bench: Bench,
    filters: Mapping[str, Filter],
    xs: Sequence[int],
    rate: Callable[[Filter, int], float],
    scale: float = 1,
) -> tuple[Line, ...]:
    points: dict[str, list[tuple[float, float]]] = {}
    for x in xs:
        runs = interleave({name: partial(rate, each, x) for name, each in filters.items()}, bench.sizes.curve_rounds)
        for name, found in runs.items():
            points.setdefault(name, []).append((x * scale, median(found)))
    return _as_lines(points)


def _as_lines(points: Mapping[str, Sequence[tuple[float, float]]]) -> tuple[Line, ...]:
    return tuple(Line(name, tuple(found)) for name, found in points.items())
