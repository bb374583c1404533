"""Unflagged mail through a real Postfix, which queues it on a disk."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from stopit_bench.bench import Bench, Found
from stopit_bench.filters import stopit_filter
from stopit_bench.interleave import interleave
from stopit_bench.mta import DiscardPostfix, Injection
from stopit_bench.record import Series, Unit, at_least, ratio
from stopit_bench.site import CAMPUS
from stopit_bench.tools import Noop, NoopKind
from stopit_lab.site import Stores

__all__ = ["measure_postfix"]

_NONE, _NOOP = "no milter", "C, sees every step"
_WARM_UP = 100


def measure_postfix(bench: Bench) -> Found:
    """Compare no milter, the C filter and Stopit, at different listeners of the same Postfix."""
    names = {stores: f"Stopit on {stores.value}" for stores in Stores}
    with ExitStack() as stack:
        place = bench.place("noop")
        place.mkdir()
        noop = stack.enter_context(Noop(bench.tools, NoopKind.ALL, place))
        ours = {stores: stopit_filter(bench, stack, stores).site for stores in Stores}
        listeners = {_NONE: "", _NOOP: noop.socket} | {names[stores]: site.socket for stores, site in ours.items()}
        mta = stack.enter_context(DiscardPostfix(bench.place("postfix"), _by_word(listeners), CAMPUS))
        for listener in listeners:
            mta.inject(_word(listener), _WARM_UP)
        bench.say(f"{len(listeners)} listeners, {bench.sizes.rounds} rounds of {bench.sizes.postfix} messages each")
        before = {stores: site.traced() for stores, site in ours.items()}
        runs = interleave(
            {listener: partial(mta.inject, _word(listener), bench.sizes.postfix) for listener in listeners},
            bench.sizes.rounds,
        )
        for stores, site in ours.items():  # proves that Postfix asked the milter
            site.wait_until_traced(before[stores] + bench.sizes.rounds * bench.sizes.postfix)
    rates = {name: _rates(name, found) for name, found in runs.items()}
    figures = [
        ratio(f"{name}, against {_NOOP}", rates[name], rates[_NOOP], at_least(0.97)) for name in names.values()
    ]
    figures += [ratio(f"{name}, against {_NONE}", rates[name], rates[_NONE]) for name in (*names.values(), _NOOP)]
    return Found(
        tuple(figures),
        tuple(rates.values()),
        notes=("smtp-source, 4 sessions, 2 kB; the transport is discard(8); the queue is empty before each run.",),
    )


def _rates(name: str, runs: tuple[Injection, ...]) -> Series:
    return Series(name, Unit.PER_SECOND, tuple(run.per_second for run in runs))


def _by_word(listeners: dict[str, str]) -> dict[str, str]:
    return {_word(name): socket for name, socket in listeners.items()}


def _word(name: str) -> str:
    """Return the name as one word, as Postfix needs it."""
    return name.replace(",", "").replace(" ", "-").lower()
