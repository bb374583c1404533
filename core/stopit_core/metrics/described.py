"""How a metric is made: with what it is called, what it means, and what to look for, in one place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge

from stopit_core import __version__
from stopit_core.metrics.multiprocess import BatchHistogram

__all__ = ["DaemonMetrics", "Described", "Metrics"]


@dataclass(frozen=True, slots=True)
class Described:
    """One metric as docs/metrics.md shows it. `name` as Prometheus knows it; `series` are the values of `labels` that
    are there from the start; `look` is what to look for; `buckets` are those of a histogram."""

    name: str
    kind: str
    unit: str
    help: str
    look: str
    labels: tuple[str, ...] = ()
    series: tuple[tuple[str, ...], ...] = ()
    buckets: tuple[float, ...] = ()


class Metrics:
    """Makes metrics in `registry`, and keeps what each is."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.described: list[Described] = []

    def counter(
        self,
        name: str,
        unit: str,
        text: str,
        look: str,
        labels: Sequence[str] = (),
        series: Iterable[tuple[str, ...]] = (),
    ) -> Counter:
        made = Counter(name, text, labels, registry=self.registry)
        known = tuple(series)
        for values in known:
            made.labels(*values)
        self.described.append(Described(f"{name}_total", "counter", unit, text, look, tuple(labels), known))
        return made

    def gauge(
        self,
        name: str,
        unit: str,
        text: str,
        look: str,
        labels: Sequence[str] = (),
        series: Iterable[tuple[str, ...]] = (),
        together: str = "max",
    ) -> Gauge:
        """`together`: how the values of several workers are made one (prometheus_client's multiprocess_mode)."""
        mode: Any = together
        made = Gauge(name, text, labels, registry=self.registry, multiprocess_mode=mode)
        known = tuple(series)
        for values in known:
            made.labels(*values)
        self.described.append(Described(name, "gauge", unit, text, look, tuple(labels), known))
        return made

    def histogram(self, name: str, text: str, look: str, buckets: tuple[float, ...]) -> BatchHistogram:
        made = BatchHistogram(name, text, buckets=buckets, registry=self.registry)
        self.described.append(Described(name, "histogram", "seconds", text, look, buckets=buckets))
        return made


class DaemonMetrics(Metrics):
    """What both daemons tell of themselves."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.build_info = self.gauge(
            "stopit_build_info",
            "always 1",
            "Always 1; the version is the label.",
            "Two versions at once outside an upgrade: a daemon was not restarted.",
            ["version"],
            [(__version__,)],
        )
        self.build_info.labels(__version__).set(1)
        self.reload_successful = self.gauge(
            "stopit_config_last_reload_successful",
            "1 or 0",
            "1 when the configuration in the file is the one in force, 0 when the last reload was refused.",
            "0: the daemon runs on with the old configuration, and would not start with the new one.",
            together="min",
        )
        self.reload_successful.set(1)
