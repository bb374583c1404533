"""docs/metrics.md, written from the definitions: what it says of a metric can't be other than what a daemon shows.

python -m stopit_lab.metrics_page > docs/metrics.md
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator, Sequence

from prometheus_client import CollectorRegistry

from stopit_core.cases import CaseState
from stopit_core.decision.policy import pairs
from stopit_core.metrics import Described, HttpMetrics, Metrics, MilterHttpMetrics, MilterMetrics, NotifierMetrics
from stopit_core.outgoing.facts import MessageKind

__all__ = ["catalogue", "every_metric"]

_HEAD = """\
# Metrics

`stopit-milter` shows its metrics at `milter.metrics` (127.0.0.1:9464), `stopit-notifier` at `notifier.metrics`
(127.0.0.1:9465), both under `/metrics`. Beside them stand `/healthz` and `/readyz`, which `stopitctl health` asks.

Each labelled series is there from the start, at zero: a rate over a series that was never there is no alarm. No
label ever holds an address, a case, a queue id or a Message-ID. What is counted starts at zero when a daemon is
started again; `rate` and `increase` allow for that. What is on record (cases, senders) is the same on each notifier
of a site: take its maximum, not its sum.

config/prometheus has the alerts, and [runbooks](runbooks/README.md) a page for each.

This page is written from core/stopit_core/metrics by `python -m stopit_lab.metrics_page`."""
_WIDTH = 118


def every_metric() -> dict[str, tuple[Metrics, ...]]:
    """The metrics of each program, by its name, in registries of their own."""
    return {
        "stopit-milter": (MilterMetrics(CollectorRegistry()), MilterHttpMetrics(CollectorRegistry())),
        "stopit-notifier": (
            NotifierMetrics(CollectorRegistry(), pairs(), list(MessageKind), list(CaseState)),
            HttpMetrics(CollectorRegistry()),
        ),
    }


def catalogue() -> str:
    """The page: first what both daemons show, then what each shows by itself."""
    found = {
        program: {each.name: each for metrics in made for each in metrics.described}
        for program, made in every_metric().items()
    }
    common = set.intersection(*map(set, found.values()))
    lines = _HEAD.splitlines()
    first = next(iter(found.values()))
    lines += _section("Both", [each for name, each in first.items() if name in common])
    for program, metrics in found.items():
        lines += _section(program, [each for name, each in metrics.items() if name not in common])
    return "\n".join(lines) + "\n"


def _section(title: str, metrics: Sequence[Described]) -> Iterator[str]:
    yield from ("", f"## {title}")
    for metric in metrics:
        yield from ("", f"### `{metric.name}`", "")
        yield from _wrapped(metric.help)
        for text in (
            f"Type: {metric.kind}. Unit: {metric.unit}.",
            _labels(metric),
            _buckets(metric),
            f"Look for: {metric.look}",
        ):
            if text:
                yield from ("", *_wrapped(text))


def _labels(metric: Described) -> str:
    """Each label with its values; pairs that do not all occur are listed as pairs."""
    values = [list(dict.fromkeys(series[at] for series in metric.series)) for at in range(len(metric.labels))]
    if metric.labels == ("version",):
        return "Label `version`: the version."
    possible = 1
    for each in values:
        possible *= len(each)
    if len(metric.labels) > 1 and len(metric.series) < possible:
        names = ", ".join(f"`{name}`" for name in metric.labels)
        return f"Labels {names}: {', '.join('`' + ' '.join(series) + '`' for series in metric.series)}."
    return " ".join(
        f"Label `{name}`: {', '.join(f'`{value}`' for value in each)}."
        for name, each in zip(metric.labels, values, strict=True)
    )


def _buckets(metric: Described) -> str:
    return f"Buckets: {', '.join(f'{bound:g}' for bound in metric.buckets)}." if metric.buckets else ""


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    sys.stdout.write(catalogue())
