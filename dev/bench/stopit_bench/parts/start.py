"""The time from the start of a daemon to its READY=1 (sd_notify(3))."""

from __future__ import annotations

import time
from contextlib import ExitStack

from stopit_bench.bench import Bench, Found
from stopit_bench.interleave import interleave
from stopit_bench.record import Series, Unit, at_most, figure
from stopit_bench.site import BenchSite
from stopit_lab.daemons import Daemon
from stopit_lab.site import Stores

__all__ = ["measure_start"]


def measure_start(bench: Bench) -> Found:
    """Measure both daemons on both kinds of store."""
    with ExitStack() as stack:
        starts = {}
        for stores in Stores:
            site = stack.enter_context(BenchSite(bench.place(stores.value), stores))
            for daemon in (site.milter, site.notifier):
                starts[f"{daemon.name} on {stores.value}"] = _Start(daemon)
        for start in starts.values():  # creates the tables and fills the page cache
            start()
        found = interleave(starts, bench.sizes.rounds)
    series = [Series(name, Unit.SECONDS, seconds) for name, seconds in found.items()]
    return Found(tuple(figure(f"{each.name}, start to ready", each, at_most(1.0)) for each in series), tuple(series))


class _Start:
    """Starts a daemon, measures the time, and ends it."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def __call__(self) -> float:
        begin = time.monotonic()
        self._daemon.start()
        seconds = time.monotonic() - begin
        self._daemon.kill()  # an orderly end of libmilter takes seconds
        return seconds
