"""The list of panels: its queries ask for existing series, and its panels differ."""

from __future__ import annotations

import re

import pytest

from stopit_dashboards.panel import HERE, Kind, Limits, Panel, Query, Row, Unit
from stopit_dashboards.panels import ROWS, panels
from stopit_lab.metrics_page import every_metric

PROMETHEUS = {"up": {"job", "instance"}, "ALERTS": {"alertname", "alertstate", "severity", "job", "instance"}}
SCRAPED = {"job", "instance", "le"}


@pytest.fixture(scope="module")
def known() -> dict[str, set[str]]:
    """Return every series that can be queried, and its labels."""
    found = {name: set(labels) for name, labels in PROMETHEUS.items()}
    for made in every_metric().values():
        for metrics in made:
            for family in metrics.registry.collect():
                for sample in family.samples:
                    found.setdefault(sample.name, set()).update(sample.labels)
    return found


every_query = pytest.mark.parametrize(
    "query", [query for panel in panels() for query in panel.queries], ids=lambda query: query.expr
)


class TestList:
    def test_keys_and_titles_name_one_panel_each(self) -> None:
        for names in ([panel.key for panel in panels()], [panel.title for panel in panels()]):
            assert len(names) == len(set(names))

    def test_it_begins_with_whether_it_is_well(self) -> None:
        assert [row.title for row in ROWS][:2] == ["Is it well?", "Does mail pass?"]
        assert ROWS[0].panels[0].kind is Kind.STAT

    def test_every_metric_is_on_a_panel(self) -> None:
        """A new metric that no panel shows would be overlooked."""
        asked = " ".join(query.expr for panel in panels() for query in panel.queries)
        metrics = {each.name for made in every_metric().values() for metric in made for each in metric.described}
        assert {name for name in metrics if name not in asked} == set()

    @every_query
    def test_each_query_asks_for_what_there_is(self, known: dict[str, set[str]], query: Query) -> None:
        for name, matchers in re.findall(r"\b(stopit_\w+|up|ALERTS)\b\{([^}]*)\}", query.expr):
            assert name in known
            assert HERE in matchers
            asked = set(re.findall(r"(\w+)[=!~]", matchers))
            assert asked <= known[name] | SCRAPED

    @every_query
    def test_each_legend_names_labels_that_are_left(self, query: Query) -> None:
        kept = [set(re.split(r",\s*", labels)) for labels in re.findall(r"\bby \(([^)]*)\)", query.expr)]
        for label in re.findall(r"\{(\w+)\}", query.legend):
            assert all(label in labels for labels in kept)


class TestPanel:
    def test_legend_in_the_marks_of_each_page(self) -> None:
        query = Query(f"x{{{HERE}}}", "{kind}, {result}")
        assert query.name("{{", "}}") == "{{kind}}, {{result}}"
        assert query.name("[[", "]]") == "[[kind]], [[result]]"
        assert query.at('job="a"') == 'x{job="a"}'

    @pytest.mark.parametrize(
        ("make", "complaint"),
        [
            (lambda: Query("x", "y"), "has no HERE"),
            (lambda: Query(f"x{{{HERE}}}", ""), "no legend"),
            (lambda: Limits(2, 1), "bad"),
            (lambda: Limits(1, 2, falling=True), "bad"),
            (lambda: _panel(key="Two words"), "no key"),
            (lambda: _panel(queries=()), "has queries"),
            (lambda: _panel(queries=(ONE, ONE), kind=Kind.STAT), "have one"),
            (lambda: _panel(queries=(ONE, ONE), limits=Limits(1, 2)), "limits are of one query"),
            (lambda: _panel(kind=Kind.TABLE), "a table has columns"),
            (lambda: _panel(columns=("kind",)), "a table has columns"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, make, complaint: str) -> None:
        with pytest.raises(ValueError, match=complaint):
            make()

    def test_worst_is_the_far_end_of_the_limits(self) -> None:
        assert _panel(limits=Limits(1, 2)).worst == f"max({ONE.expr})"
        assert _panel(limits=Limits(2, 1, falling=True)).worst == f"min({ONE.expr})"


class TestLines:
    @pytest.mark.parametrize(
        ("stats", "graphs", "widths"),
        [(0, 1, [1]), (2, 0, [2]), (6, 1, [6, 1]), (0, 4, [2, 2]), (3, 5, [3, 2, 3]), (0, 7, [2, 2, 3])],
    )
    def test_stats_first_then_three_at_most_evenly(self, stats: int, graphs: int, widths: list[int]) -> None:
        mixed = [_panel(key=f"g{'x' * turn}") for turn in range(graphs)]
        mixed += [_panel(key=f"s{'x' * turn}", kind=Kind.STAT) for turn in range(stats)]
        lines = list(Row("Well?", "Look.", tuple(mixed)).lines())

        assert [len(line) for line in lines] == widths
        assert {panel.key for line in lines for panel in line} == {panel.key for panel in mixed}
        assert all(len({panel.kind for panel in line}) == 1 for line in lines)


ONE = Query(f"stopit_spool_depth{{{HERE}}}", "{instance}")


def _panel(**values: object) -> Panel:
    chosen: dict = {"key": "spool", "title": "Spool", "answers": "How full.", "queries": (ONE,), "unit": Unit.COUNT}
    return Panel(**{**chosen, **values})
