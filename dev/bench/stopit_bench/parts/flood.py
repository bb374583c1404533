"""Ten thousand members flag one message: one notice and ten thousand acknowledgements, through a real Postfix.

As at a site, the milter filters the listener that the notifier uses, and writes the trace of each of our own messages
before it replies. The reports are on the queue before the notifier starts. The time is from its READY=1 to the last
message that Postfix accepts. Before each flood, smtp-source injects messages of the same size into the same listener.
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

_LISTENER = "smtp"
_BYTES = 2000
_SHARE = 3
"""smtp-source sends this fraction of the messages, because its rate is steady."""
_PATIENCE = 1800.0
_BETWEEN_SCRAPES = 0.2
"""Seconds. A scrape costs the notifier time, too."""
_VALUES = {"policy": {"notice_delay": ["1s", "1s"], "sender_daily_cap": 10_000_000}}


def measure_flood(bench: Bench) -> Found:
    """Compare the rate of the notifier with that of smtp-source."""
    figures: list[Figure] = []
    series: list[Series] = []
    for stores in Stores:
        ours, one, four = [], [], []
        for number in range(bench.sizes.flood_rounds):
            bench.say(f"{stores.value}: flood {number + 1} of {bench.sizes.flood_rounds}")
            with _site(bench, stores) as (site, mta):
                injected = bench.sizes.flood // _SHARE
                four.append(mta.inject(_LISTENER, injected, body=_BYTES).per_second)
                one.append(mta.inject(_LISTENER, injected, body=_BYTES, sessions=1).per_second)
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
        notes=(f"{bench.sizes.flood:,} reports of one message on the queue; Postfix discards all mail.",),
    )


@contextmanager
def _site(bench: Bench, stores: Stores) -> Iterator[tuple[BenchSite, DiscardPostfix]]:
    """Start a site with its milter, and the Postfix that its notifier sends through and its milter filters."""
    (port,) = spare_ports(1)
    with BenchSite(bench.place(stores.value), stores, smtp_port=port, values=_VALUES) as site:
        site.milter.start()
        mta = DiscardPostfix(bench.place("postfix"), {_LISTENER: site.socket}, CAMPUS, {_LISTENER: port})
        with mta:
            yield site, mta


def _flood(members: int, site: BenchSite) -> float:
    """Return messages per second. Raises RuntimeError unless one notice and one acknowledgement each were sent."""
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
