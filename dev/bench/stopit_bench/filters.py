"""The filters that are compared at the milter protocol: each is started, warmed up, and measured run by run."""

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

__all__ = ["Filter", "OtherFilter", "Run", "StopitFilter", "c_filter", "series_of", "stopit_filter"]

_WARM_UP = 500


@dataclass(frozen=True, slots=True)
class Run:
    """One run: the report of the load generator, and the filter's CPU time per message (microseconds)."""

    load: Load
    cpu_us: float


class Filter(Protocol):
    """A running filter."""

    def run(
        self, messages: int, *, body: int = 2000, connections: int = 4, rate: float = 0.0, poisson: bool = False
    ) -> Run:
        """Send this number of messages through the filter."""


class FilterProcess(Protocol):
    """A filter other than Stopit: its process, its socket, and the protocol's letter of its reply to all mail."""

    @property
    def pid(self) -> int: ...

    @property
    def socket(self) -> str: ...

    @property
    def letter(self) -> str: ...


class OtherFilter:
    """The C filter, or another filter of Debian."""

    def __init__(self, bench: Bench, other: FilterProcess) -> None:
        self._bench = bench
        self._other = other
        self.run(_WARM_UP)

    def run(
        self, messages: int, *, body: int = 2000, connections: int = 4, rate: float = 0.0, poisson: bool = False
    ) -> Run:
        before = cpu_seconds(self._other.pid)
        load = self._bench.tools.load(
            self._other.socket, messages, body=body, connections=connections, rate=rate, poisson=poisson
        ).require(self._other.letter)
        return Run(load, (cpu_seconds(self._other.pid) - before) / messages * 1e6)


class StopitFilter:
    """stopit-milter. A run ends when all its traces are in the ledger; a dropped one is an error.

    The rate and the latency end with the last reply of the milter. The CPU time includes the traces written after it.
    """

    def __init__(self, bench: Bench, site: BenchSite) -> None:
        self._bench = bench
        self.site = site
        self.run(_WARM_UP)

    def run(
        self, messages: int, *, body: int = 2000, connections: int = 4, rate: float = 0.0, poisson: bool = False
    ) -> Run:
        written, before = self.site.traced(), cpu_seconds(self.site.milter.pid)
        load = self._bench.tools.load(
            self.site.socket, messages, body=body, connections=connections, rate=rate, poisson=poisson
        ).require("a")
        self.site.wait_until_traced(written + messages)
        return Run(load, (cpu_seconds(self.site.milter.pid) - before) / messages * 1e6)


def c_filter(bench: Bench, stack: ExitStack, kind: NoopKind) -> OtherFilter:
    """Start the C filter. It ends with the stack."""
    place = bench.place("noop")
    place.mkdir()
    return OtherFilter(bench, stack.enter_context(Noop(bench.tools, kind, place)))


def stopit_filter(bench: Bench, stack: ExitStack, stores: Stores, workers: int = 1) -> StopitFilter:
    """Start stopit-milter. It ends with the stack."""
    site = stack.enter_context(BenchSite(bench.place(stores.value), stores, workers=workers))
    site.milter.start()
    return StopitFilter(bench, site)


def series_of(name: str, runs: Sequence[Run]) -> tuple[Series, Series]:
    """Return messages per second, and CPU per message, of the runs of a filter."""
    return (
        Series(name, Unit.PER_SECOND, tuple(run.load.per_second for run in runs)),
        Series(f"{name}, CPU a message", Unit.MICROSECONDS, tuple(run.cpu_us for run in runs)),
    )
