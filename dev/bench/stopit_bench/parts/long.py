"""A long run: the growth of memory, file descriptors and threads of the milter's processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from itertools import pairwise

from stopit_bench.bench import Bench, Found
from stopit_bench.filters import stopit_filter
from stopit_bench.processes import Usage, tree, usage
from stopit_bench.record import Figure, Series, Unit, at_most, once
from stopit_lab.site import Stores
from stopit_lab.waiting import until

__all__ = ["measure_long"]

_LOOKS = (0.1, 0.5, 1.0)
_WORKERS = 2
_PROCESSES = _WORKERS + 3
"""The workers, the parent, the trace writer and the server of /metrics."""
_SETTLE = 60.0
_ASKED = 1_000_000
"""A shorter run has no targets: it shows the growth of a warming process, and no leak."""

Look = Mapping[int, Usage]


def measure_long(bench: Bench) -> Found:
    """Measure two workers on each kind of store, after 10, 50 and 100 percent of the messages."""
    figures: list[Figure] = []
    series: list[Series] = []
    messages = bench.sizes.long
    memory, none = (at_most(1), at_most(0)) if messages >= _ASKED else (None, None)
    for stores in Stores:
        looks = _run(bench, stores, messages)
        first, last = looks[0], looks[-1]
        resident, resident_then = _worst(first, last, lambda found: found.resident)
        descriptors, descriptors_then = _worst(first, last, lambda found: found.descriptors)
        threads, threads_then = _worst(first, last, lambda found: found.threads)
        name = f"{stores.value}, {messages:,} messages, from 10 % on"
        growth = 100 * (resident_then / resident - 1)
        figures.append(once(f"{name}: growth of memory", Unit.PERCENT, growth, memory))
        figures.append(once(f"{name}: new file descriptors", Unit.COUNT, descriptors_then - descriptors, none))
        figures.append(once(f"{name}: new threads", Unit.COUNT, threads_then - threads, none))
        sums = tuple(sum(found.resident for found in look.values()) / 2**20 for look in looks)
        series.append(Series(f"{stores.value}, all processes at 10, 50 and 100 %", Unit.MEBIBYTES, sums))
    return Found(tuple(figures), tuple(series), notes=("The process that grew most counts.",))


def _run(bench: Bench, stores: Stores, messages: int) -> list[Look]:
    looks: list[Look] = []
    with ExitStack() as stack:
        ours = stopit_filter(bench, stack, stores, workers=_WORKERS)
        for before, share in pairwise((0.0, *_LOOKS)):
            bench.say(f"{stores.value}: to {share:.0%} of {messages:,} messages")
            ours.run(int(messages * share) - int(messages * before))
            until(lambda: len(tree(ours.site.milter.pid)) == _PROCESSES, "the end of replaced workers", _SETTLE)
            looks.append({pid: usage(pid) for pid in tree(ours.site.milter.pid)})
    return looks


def _worst(first: Look, last: Look, amount: Callable[[Usage], int]) -> tuple[int, int]:
    """Return both amounts of the process that grew most, or of all together if a worker was replaced."""
    if first.keys() != last.keys():
        return sum(map(amount, first.values())), sum(map(amount, last.values()))
    pairs = [(amount(first[pid]), amount(last[pid])) for pid in first]
    return max(pairs, key=lambda pair: pair[1] / pair[0])
