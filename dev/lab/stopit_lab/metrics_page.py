"""Generate docs/metrics.md from the definitions of the metrics, so that it always agrees with the daemons.

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

__all__ = ["every_metric", "page"]

_HEAD = """\
# Metrics

`stopit-milter` serves its metrics at `milter.metrics` (127.0.0.1:9464), `stopit-notifier` at `notifier.metrics`
(127.0.0.1:9465), both under `/metrics`. The same ports serve `/healthz` and `/readyz`, which `stopitctl health` uses.

Each labelled series exists from the start, with the value zero, because an alert on the rate of a series that does
not exist never fires. No label has an address, a case, a queue id or a Message-ID. A counter starts at zero when its
daemon restarts; `rate` and `increase` allow for that. Values from the record (cases, senders) are the same on each
notifier of a site: use their maximum, not their sum.

config/prometheus has the alerts, and the [runbooks](runbooks/README.md) have one page for each alert.

This page is generated from core/stopit_core/metrics by `python -m stopit_lab.metrics_page`."""
_WIDTH = 118


def every_metric() -> dict[str, tuple[Metrics, ...]]:
    """Return the metrics of each program, by program name. Each set has its own registry."""
    return {
        "stopit-milter": (MilterMetrics(CollectorRegistry()), MilterHttpMetrics(CollectorRegistry())),
        "stopit-notifier": (
            NotifierMetrics(CollectorRegistry(), pairs(), list(MessageKind), list(CaseState)),
            HttpMetrics(CollectorRegistry()),
        ),
    }


def page() -> str:
    """Return the page: first the metrics that both daemons have, then those of each daemon."""
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
    """Return each label with its values. If not all combinations occur, list the pairs that do."""
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
    sys.stdout.write(page())
