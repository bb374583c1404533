"""The filters that are compared at the milter protocol: each is started, warmed up, and asked for a run at a time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from stopit_bench.bench import Bench
from stopit_bench.processes import cpu_seconds
from stopit_bench.record import Series, Unit
from stopit_bench.site import BenchSite
from stopit_bench.tools import Load, Noop, NoopKind
from stopit_lab.site import Stores

__all__ = ["OtherSide", "OurSide", "Run", "Side", "c_side", "our_side", "series_of"]

_WARM_UP = 500


@dataclass(frozen=True, slots=True)
class Run:
    """One run: what the MTA's side saw, and the CPU that the filter used for a message (microseconds)."""

    load: Load
    cpu_us: float


class Side(Protocol):
    """A filter that runs."""

    def run(
        self, messages: int, *, body: int = 2000, connections: int = 4, rate: float = 0.0, poisson: bool = False
    ) -> Run:
        """Send so many messages through it."""


class Filter(Protocol):
    """A filter that is no Stopit: its process, its socket, and the letter of the verdict that it gives all mail."""

    @property
    def pid(self) -> int: ...

    @property
    def socket(self) -> str: ...

    @property
    def letter(self) -> str: ...


class OtherSide:
    """The C filter, or a peer."""

    def __init__(self, bench: Bench, other: Filter) -> None:
        self._bench = bench
        self._other = other
        self.run(_WARM_UP)

    def run(
        self, messages: int, *, body: int = 2000, connections: int = 4, rate: float = 0.0, poisson: bool = False
    ) -> Run:
        """See `Side.run`."""
        before = cpu_seconds(self._other.pid)
        load = self._bench.tools.load(
            self._other.socket, messages, body=body, connections=connections, rate=rate, poisson=poisson
        ).require(self._other.letter)
        return Run(load, (cpu_seconds(self._other.pid) - before) / messages * 1e6)


class OurSide:
    """stopit-milter. A run is over when every trace of it is in the ledger; none may be dropped.

    What the MTA's side sees ends with its last answer; the traces still in hand by then are in the CPU time.
    """

    def __init__(self, bench: Bench, site: BenchSite) -> None:
        self._bench = bench
        self.site = site
        self.run(_WARM_UP)

    def run(
        self, messages: int, *, body: int = 2000, connections: int = 4, rate: float = 0.0, poisson: bool = False
    ) -> Run:
        """See `Side.run`."""
        written, before = self.site.traced(), cpu_seconds(self.site.milter.pid)
        load = self._bench.tools.load(
            self.site.socket, messages, body=body, connections=connections, rate=rate, poisson=poisson
        ).require("a")
        self.site.wait_until_traced(written + messages)
        return Run(load, (cpu_seconds(self.site.milter.pid) - before) / messages * 1e6)


def c_side(bench: Bench, stack: ExitStack, kind: NoopKind) -> OtherSide:
    """The C filter, started; it ends with the stack."""
    place = bench.place("noop")
    place.mkdir()
    return OtherSide(bench, stack.enter_context(Noop(bench.tools, kind, place)))


def our_side(bench: Bench, stack: ExitStack, stores: Stores, workers: int = 1) -> OurSide:
    """stopit-milter, started; it ends with the stack."""
    site = stack.enter_context(BenchSite(bench.place(stores.value), stores, workers=workers))
    site.milter.start()
    return OurSide(bench, site)


def series_of(name: str, runs: Sequence[Run]) -> tuple[Series, Series]:
    """Messages a second, and CPU a message, of the runs of a side."""
    return (
        Series(name, Unit.PER_SECOND, tuple(run.load.per_second for run in runs)),
        Series(f"{name}, CPU a message", Unit.MICROSECONDS, tuple(run.cpu_us for run in runs)),
    )
