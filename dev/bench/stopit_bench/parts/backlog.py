"""The notifier with very many waiting reports: it must be as fast and as small as with a thousand.

Two sites, one with a thousand reports in its queue and one with very many, take turns. Each turn starts a notifier
that processes the same number of reports, so both case records grow alike. Each report has its own message and
sender, which costs most: a case, a waiting notice, and an acknowledgement that is sent.

A turn ends before the thousand are used up. So both notifiers end with a batch in flight, whose acknowledgements the
next turn sends. Otherwise only the site with more reports would carry work over to its next turn.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass

import redis

from stopit_bench.bench import Bench, Found
from stopit_bench.interleave import interleave
from stopit_bench.mta import DiscardPostfix
from stopit_bench.processes import usage
from stopit_bench.record import Series, Unit, at_least, at_most, ratio
from stopit_bench.reports import put_singles
from stopit_bench.site import CAMPUS, BenchSite
from stopit_core.open_stores import open_queue
from stopit_lab.site import Stores
from stopit_lab.waiting import until

__all__ = ["measure_backlog"]

_LISTENER = "smtp"
_FEW = 1000
_PATIENCE = 600.0
_BETWEEN_SCRAPES = 0.2
"""Seconds. A scrape costs the notifier time, too."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """Reports per second, and resident bytes at the end."""

    per_second: float
    resident: int


def measure_backlog(bench: Bench) -> Found:
    """Compare rate and memory with many and with a thousand waiting reports, on Redis."""
    many = bench.sizes.backlog
    with ExitStack() as stack:
        mta = stack.enter_context(DiscardPostfix(bench.place("postfix"), {_LISTENER: ""}, CAMPUS))
        sites = {count: _filled(bench, stack, mta, count) for count in (_FEW, many)}
        found = interleave(
            {f"{count:,} waiting": _Turns(bench, site, count) for count, site in sites.items()}, bench.sizes.rounds
        )
    rates = [Series(name, Unit.PER_SECOND, tuple(turn.per_second for turn in turns)) for name, turns in found.items()]
    resident = [
        Series(f"{name}, resident", Unit.MEBIBYTES, tuple(turn.resident / 2**20 for turn in turns))
        for name, turns in found.items()
    ]
    return Found(
        (
            ratio(f"rate with {many:,} waiting, against {_FEW:,}", rates[1], rates[0], at_least(0.95)),
            ratio(f"memory with {many:,} waiting, against {_FEW:,}", resident[1], resident[0], at_most(1.05)),
        ),
        (*rates, *resident),
        notes=(f"{bench.sizes.window:,} reports per turn or a batch more, each a new case; Redis, cases in SQLite.",),
    )


def _filled(bench: Bench, stack: ExitStack, mta: DiscardPostfix, count: int) -> BenchSite:
    site = stack.enter_context(BenchSite(bench.place("backlog"), Stores.REDIS, smtp_port=mta.ports[_LISTENER]))
    bench.say(f"putting {count:,} reports on a queue")
    _put(site, "first", count)
    return site


def _put(site: BenchSite, name: str, count: int) -> None:
    """Put reports on the queue, without a sync to the disk for each, because putting them is not measured."""
    if site.redis is None:
        raise ValueError("the backlog is measured on Redis")
    with redis.Redis.from_url(site.redis.url) as server:
        server.config_set("appendfsync", "no")
        put_singles(site, name, count, time.time() - 60)
        server.config_set("appendfsync", "always")


def _waiting(site: BenchSite) -> int:
    queue = open_queue(site.settings.queue)
    try:
        return queue.depths().waiting
    finally:
        queue.close()


class _Turns:
    """The turns of one site. After each, new reports are put on the queue until `count` wait again."""

    def __init__(self, bench: Bench, site: BenchSite, count: int) -> None:
        self._window = bench.sizes.window
        self._site = site
        self._count = count
        self._turns = 0

    def __call__(self) -> _Turn:
        self._turns += 1
        self._site.notifier.start()
        begin = time.monotonic()
        until(lambda: self._decided() >= self._window, f"{self._window} decisions", _PATIENCE)
        decided, seconds = self._decided(), time.monotonic() - begin
        resident = usage(self._site.notifier.pid).resident
        self._site.notifier.terminate()
        _put(self._site, f"turn{self._turns}", self._count - _waiting(self._site))
        return _Turn(decided / seconds, resident)

    def _decided(self) -> float:
        time.sleep(_BETWEEN_SCRAPES)
        return self._site.notifier_metrics().total("stopit_decisions_total")
