"""Metrics that carry their description: name, unit, help text, and what an operator should look for."""

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
    """The description of one metric, as docs/metrics.md shows it.

    `name` is the name in Prometheus. `series` are the values of `labels` that exist from the start. `look` says what
    an operator should look for. `buckets` are the buckets of a histogram.
    """

    name: str
    kind: str
    unit: str
    help: str
    look: str
    labels: tuple[str, ...] = ()
    series: tuple[tuple[str, ...], ...] = ()
    buckets: tuple[float, ...] = ()


class Metrics:
    """Create metrics in `registry`, and record the description of each."""

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
        """Create a gauge. `together` says how to combine the values of several workers (multiprocess_mode of
        prometheus_client)."""
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
    """The metrics that both daemons have."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.build_info = self.gauge(
            "stopit_build_info",
            "always 1",
            "Always 1. The label has the version.",
            "Two versions long after an upgrade: a daemon was not restarted.",
            ["version"],
            [(__version__,)],
        )
        self.build_info.labels(__version__).set(1)
        self.reload_successful = self.gauge(
            "stopit_config_last_reload_successful",
            "1 or 0",
            "1 if the daemon uses the configuration in the file, 0 if it refused the last reload.",
            "0: the daemon uses the old configuration, and cannot start with the new one.",
            together="min",
        )
        self.reload_successful.set(1)
