"""Unflagged mail through a real Postfix: what is left of the difference where mail is queued on a disk."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from stopit_bench.bench import Bench, Found
from stopit_bench.mta import DiscardPostfix, Injection
from stopit_bench.record import Series, Unit, at_least, ratio
from stopit_bench.rounds import interleave
from stopit_bench.sides import our_side
from stopit_bench.site import CAMPUS
from stopit_bench.tools import Noop, NoopKind
from stopit_lab.site import Stores

__all__ = ["measure_postfix"]

_NONE, _NOOP = "no milter", "C, sees every step"
_WARM_UP = 100


def measure_postfix(bench: Bench) -> Found:
    """No milter, the C filter and Stopit at three doors of the same Postfix."""
    names = {stores: f"Stopit on {stores.value}" for stores in Stores}
    with ExitStack() as stack:
        place = bench.place("noop")
        place.mkdir()
        noop = stack.enter_context(Noop(bench.tools, NoopKind.ALL, place))
        ours = {stores: our_side(bench, stack, stores).site for stores in Stores}
        doors = {_NONE: "", _NOOP: noop.socket} | {names[stores]: site.socket for stores, site in ours.items()}
        mta = stack.enter_context(DiscardPostfix(bench.place("postfix"), _ported(doors), CAMPUS))
        for door in doors:
            mta.inject(_word(door), _WARM_UP)
        bench.say(f"{len(doors)} doors, {bench.sizes.rounds} rounds of {bench.sizes.postfix} messages each")
        before = {stores: site.traced() for stores, site in ours.items()}
        runs = interleave(
            {door: partial(mta.inject, _word(door), bench.sizes.postfix) for door in doors}, bench.sizes.rounds
        )
        for stores, site in ours.items():  # or Postfix went past the milter
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


def _ported(doors: dict[str, str]) -> dict[str, str]:
    return {_word(name): socket for name, socket in doors.items()}


def _word(name: str) -> str:
    """A name that Postfix takes as one word."""
    return name.replace(",", "").replace(" ", "-").lower()
