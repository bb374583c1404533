"""Other filters with the same mail. They do different work than Stopit, so these rows have no targets."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from functools import partial

from stopit_bench.bench import Bench, Found
from stopit_bench.filters import Filter, OtherFilter, c_filter, series_of, stopit_filter
from stopit_bench.interleave import interleave
from stopit_bench.peers import opendkim, rspamd
from stopit_bench.record import Series, ratio
from stopit_bench.tools import NoopKind
from stopit_lab.site import Stores

__all__ = ["measure_peers"]

_OURS = "Stopit on sqlite"
_C = "C, sees every step"
_PEERS = {"OpenDKIM, signs": (opendkim, "opendkim"), "rspamd, modules off": (rspamd, "rspamd")}


def measure_peers(bench: Bench) -> Found:
    """Compare Stopit with the C filter and the installed peers, at the milter protocol."""
    missing: list[str] = []
    with ExitStack() as stack:
        filters: dict[str, Filter] = {
            _OURS: stopit_filter(bench, stack, Stores.SQLITE),
            _C: c_filter(bench, stack, NoopKind.ALL),
        }
        for name, (make, program) in _PEERS.items():
            if shutil.which(program, path="/usr/sbin:/usr/bin") is None:
                missing.append(f"{program} is not installed, so it has no row.")
                continue
            filters[name] = OtherFilter(bench, stack.enter_context(make(bench.place(program))))
        runs = interleave(
            {name: partial(each.run, bench.sizes.large) for name, each in filters.items()}, bench.sizes.rounds
        )
    rates: dict[str, Series] = {}
    series: list[Series] = []
    for name, found in runs.items():
        rates[name], cpu = series_of(name, found)
        series += (rates[name], cpu)
    figures = tuple(ratio(f"{_OURS}, against {name}", rates[_OURS], rates[name]) for name in rates if name != _OURS)
    return Found(figures, tuple(series), notes=("One process per filter; 4 connections, 13 headers, 2 kB.", *missing))
