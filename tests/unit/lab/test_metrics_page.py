"""docs/metrics.md agrees with the definitions and with what the daemons export."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from stopit_lab.metrics_page import every_metric, page

ROOT = Path(__file__).parents[3]


def test_the_page_is_what_the_definitions_say() -> None:
    assert (ROOT / "docs" / "metrics.md").read_text("utf-8") == page()


def test_every_metric_is_described_and_nothing_else_is() -> None:
    for program, made in every_metric().items():
        for metrics in made:
            shown = list(text_string_to_metric_families(generate_latest(metrics.registry).decode()))
            suffix = {"counter": "_total"}
            names = {f"{family.name}{suffix.get(family.type, '')}" for family in shown}
            names = {name for name in names if not name.endswith("_created")}  # not exported by the daemons
            assert names == {each.name for each in metrics.described}, program


def test_every_series_that_is_described_is_there_from_the_start() -> None:
    for made in every_metric().values():
        for metrics in made:
            for metric in metrics.described:
                for series in metric.series:
                    labels = dict(zip(metric.labels, series, strict=True))
                    assert metrics.registry.get_sample_value(metric.name, labels) is not None, metric.name


def test_each_says_what_to_look_for_and_no_name_is_given_twice() -> None:
    for made in every_metric().values():
        described = [metric for metrics in made for metric in metrics.described]
        assert all(metric.help.endswith(".") and metric.look.endswith(".") for metric in described)
        assert len({metric.name for metric in described}) == len(described)
