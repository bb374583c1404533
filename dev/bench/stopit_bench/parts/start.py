"""From the start of a daemon to its READY=1, which it says when it does its work (sd_notify(3))."""

from __future__ import annotations

import time
from contextlib import ExitStack

from stopit_bench.bench import Bench, Found
from stopit_bench.record import Series, Unit, at_most, figure
from stopit_bench.rounds import interleave
from stopit_bench.site import BenchSite
from stopit_lab.daemons import Daemon
from stopit_lab.site import Stores

__all__ = ["measure_start"]


def measure_start(bench: Bench) -> Found:
    """Both daemons, on both kinds of store."""
    with ExitStack() as stack:
        sides = {}
        for stores in Stores:
            site = stack.enter_context(BenchSite(bench.place(stores.value), stores))
            for daemon in (site.milter, site.notifier):
                sides[f"{daemon.name} on {stores.value}"] = _Start(daemon)
        for start in sides.values():  # makes the stores' tables, and the files that are read from the disk
            start()
        found = interleave(sides, bench.sizes.rounds)
    series = [Series(name, Unit.SECONDS, seconds) for name, seconds in found.items()]
    return Found(tuple(figure(f"{each.name}, start to ready", each, at_most(1.0)) for each in series), tuple(series))


class _Start:
    """Starts a daemon, takes the time, and ends it."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def __call__(self) -> float:
        begin = time.monotonic()
        self._daemon.start()
        seconds = time.monotonic() - begin
        self._daemon.kill()  # an orderly end of libmilter takes seconds
        return seconds
