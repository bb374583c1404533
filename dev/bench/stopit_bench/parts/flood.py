"""Ten thousand members flag one message: one notice, ten thousand acknowledgements, through a real Postfix.

The door is the one that a site has for its notifier, with the milter before it, which must have the trace of each of
our own messages before Postfix has its answer. The reports are on the queue before the notifier starts, and the clock
runs from its READY=1 to the last message taken by Postfix. Before each flood smtp-source injects messages of the same
size into the same door, and so through the same milter.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from stopit_bench.bench import Bench, Found
from stopit_bench.mta import DiscardPostfix
from stopit_bench.record import Figure, Series, Unit, at_least, ratio
from stopit_bench.reports import put_flood
from stopit_bench.site import CAMPUS, BenchSite
from stopit_lab.ports import spare_ports
from stopit_lab.site import Stores
from stopit_lab.waiting import until

__all__ = ["measure_flood"]

_DOOR = "door"
_BYTES = 2000
_SHARE = 3
"""smtp-source's rate is steady, so it need not send as many."""
_PATIENCE = 1800.0
_BETWEEN_SCRAPES = 0.2
"""Seconds; a scrape costs the notifier something, too."""
_VALUES = {"policy": {"notice_delay": ["1s", "1s"], "sender_daily_cap": 10_000_000}}


def measure_flood(bench: Bench) -> Found:
    """Messages a second that leave, against what smtp-source injects."""
    figures: list[Figure] = []
    series: list[Series] = []
    for stores in Stores:
        ours, one, four = [], [], []
        for number in range(bench.sizes.flood_rounds):
            bench.say(f"{stores.value}: flood {number + 1} of {bench.sizes.flood_rounds}")
            with _site(bench, stores) as (site, mta):
                injected = bench.sizes.flood // _SHARE
                four.append(mta.inject(_DOOR, injected, body=_BYTES).per_second)
                one.append(mta.inject(_DOOR, injected, body=_BYTES, sessions=1).per_second)
                ours.append(_flood(bench.sizes.flood, site))
                mta.wait_until_queue_is_empty()
        sent = Series(f"notifier on {stores.value}", Unit.PER_SECOND, tuple(ours))
        sessions = [
            Series(f"smtp-source, {name}, beside {stores.value}", Unit.PER_SECOND, tuple(values))
            for name, values in (("4 sessions", four), ("1 session", one))
        ]
        series += (sent, *sessions)
        figures.append(ratio(f"{sent.name}, against smtp-source with 4 sessions", sent, sessions[0], at_least(0.8)))
        figures.append(ratio(f"{sent.name}, against smtp-source with 1 session", sent, sessions[1]))
    return Found(
        tuple(figures),
        tuple(series),
        notes=(f"{bench.sizes.flood:,} reports of one message on the queue; Postfix throws away what it takes.",),
    )


@contextmanager
def _site(bench: Bench, stores: Stores) -> Iterator[tuple[BenchSite, DiscardPostfix]]:
    """A site whose milter runs, and the Postfix that its notifier sends through, with that milter before the door."""
    (port,) = spare_ports(1)
    with BenchSite(bench.place(stores.value), stores, smtp_port=port, values=_VALUES) as site:
        site.milter.start()
        mta = DiscardPostfix(bench.place("postfix"), {_DOOR: site.socket}, CAMPUS, {_DOOR: port})
        with mta:
            yield site, mta


def _flood(members: int, site: BenchSite) -> float:
    """Messages a second. Raises RuntimeError when not exactly one notice, and one acknowledgement each, was sent."""
    put_flood(site, "flood", members, time.time() - 60)
    site.notifier.start()
    begin = time.monotonic()
    until(lambda: _sent(site) >= members + 1, f"{members + 1} messages", _PATIENCE)
    seconds = time.monotonic() - begin
    counted = site.notifier_metrics()
    kinds = {
        kind: counted.value("stopit_messages_sent_total", kind=kind, result="sent")
        for kind in ("notice", "acknowledgement")
    }
    if kinds != {"notice": 1, "acknowledgement": members}:
        raise RuntimeError(f"expected one notice and {members} acknowledgements, and there were {kinds}")
    site.notifier.terminate()
    return (members + 1) / seconds


def _sent(site: BenchSite) -> float:
    time.sleep(_BETWEEN_SCRAPES)
    counted = site.notifier_metrics()
    return sum(
        value
        for name, labels, value in counted.series()
        if name == "stopit_messages_sent_total" and labels["result"] == "sent"
    )
