"""A long run: whether memory, file descriptors and threads of the milter's processes stay where they are."""

from __future__ import annotations

from contextlib import ExitStack
from itertools import pairwise

from stopit_bench.bench import Bench, Found
from stopit_bench.processes import Usage, tree, usage
from stopit_bench.record import Figure, Series, Unit, at_most, once
from stopit_bench.sides import our_side
from stopit_lab.site import Stores

__all__ = ["measure_long"]

_LOOKS = (0.1, 0.5, 1.0)
_GROWTH = at_most(1.0)


def measure_long(bench: Bench) -> Found:
    """Two workers on Redis and on SQLite, looked at after 10, 50 and 100 percent of the messages."""
    figures: list[Figure] = []
    series: list[Series] = []
    for stores in Stores:
        with ExitStack() as stack:
            ours = our_side(bench, stack, stores, workers=2)
            looks = []
            for before, share in pairwise((0.0, *_LOOKS)):
                bench.say(f"{stores.value}: to {share:.0%} of {bench.sizes.long} messages")
                ours.run(int(bench.sizes.long * share) - int(bench.sizes.long * before))
                looks.append(_all(ours.site.milter.pid))
        first, last = looks[0], looks[-1]
        if first.keys() != last.keys():
            raise RuntimeError(f"processes came or went: {sorted(first)} became {sorted(last)}")
        name = f"{stores.value}, {bench.sizes.long:,} messages"
        growth = max(100 * (last[pid].resident / first[pid].resident - 1) for pid in first)
        figures.append(once(f"{name}: growth of memory from 10 % on", Unit.PERCENT, growth, _GROWTH))
        descriptors = max(last[pid].descriptors - first[pid].descriptors for pid in first)
        figures.append(once(f"{name}: new file descriptors", Unit.COUNT, descriptors, at_most(0)))
        threads = max(last[pid].threads - first[pid].threads for pid in first)
        figures.append(once(f"{name}: new threads", Unit.COUNT, threads, at_most(0)))
        for number, pid in enumerate(sorted(first)):
            resident = tuple(look[pid].resident / 2**20 for look in looks)
            series.append(Series(f"{stores.value}, process {number}, resident", Unit.MEBIBYTES, resident))
    return Found(
        tuple(figures), tuple(series),
        notes=("The process that grew most counts. Process 0 is the parent; values are at 10, 50 and 100 percent.",),
    )  # fmt: skip


def _all(pid: int) -> dict[int, Usage]:
    return {each: usage(each) for each in tree(pid)}
