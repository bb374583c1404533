"""The dashboard's JSON, checked without a Grafana: by the types of its SDK, and by what Grafana needs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard

from stopit_dashboards import grafana
from stopit_dashboards.panel import HERE, Kind, Limits, Panel, Query, Row, Unit
from stopit_dashboards.panels import ROWS, panels

SOURCE = {"type": "prometheus", "uid": "${datasource}"}
KINDS = {Kind.STAT: "stat", Kind.GRAPH: "timeseries", Kind.TABLE: "table"}


@pytest.fixture(scope="module")
def board() -> dict[str, Any]:
    return dict(json.loads(grafana.render(ROWS)))


def drawn(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def one(**values: Any) -> dict[str, Any]:
    """Return the JSON of a panel alone."""
    query = Query(f"x{{{HERE}}}", "{instance}")
    panel = Panel(**{"key": "one", "title": "One", "answers": "How.", "queries": (query,), **values})
    return dict(json.loads(grafana.render((Row("Well?", "Look.", (panel,)),)))["panels"][1])


def steps(panel: dict[str, Any]) -> list[tuple[float | None, str]]:
    return [(step["value"], step["color"]) for step in panel["fieldConfig"]["defaults"]["thresholds"]["steps"]]


class TestBoard:
    def test_grafanas_own_types_read_all_of_it_back(self, board: dict[str, Any]) -> None:
        """The types would drop a field that they do not know."""
        plugins.register_default_plugins()
        read = dashboard.Dashboard.from_json(board)
        assert json.loads(json.dumps(read, cls=JSONEncoder)) == board

    def test_it_has_every_panel_in_its_order(self, board: dict[str, Any]) -> None:
        found = [(panel["title"], panel["type"]) for panel in drawn(board)]
        wanted = [(panel.title, KINDS[panel.kind]) for row in ROWS for line in row.lines() for panel in line]
        assert found == wanted
        assert len(found) == len(panels())
        assert [panel["title"] for panel in board["panels"] if panel["type"] == "row"] == [
            f"{row.title} {row.look}" for row in ROWS
        ]

    def test_ids_are_each_panels_own(self, board: dict[str, Any]) -> None:
        ids = [panel["id"] for panel in board["panels"]]
        assert len(ids) == len(set(ids))
        assert all(number > 0 for number in ids)

    def test_no_panel_covers_another_or_leaves_the_grid(self, board: dict[str, Any]) -> None:
        taken: dict[tuple[int, int], str] = {}
        for panel in board["panels"]:
            place = panel["gridPos"]
            assert 0 <= place["x"] < place["x"] + place["w"] <= 24
            for x in range(place["x"], place["x"] + place["w"]):
                for y in range(place["y"], place["y"] + place["h"]):
                    assert (x, y) not in taken, f"{panel['title']} covers {taken[(x, y)]}"
                    taken[(x, y)] = panel["title"]
        assert len(taken) == 24 * (1 + max(y for _, y in taken)), "a hole in the grid"

    def test_every_question_goes_to_the_chosen_source_jobs_and_instances(self, board: dict[str, Any]) -> None:
        for panel in drawn(board):
            assert panel["datasource"] == SOURCE
            for target in panel["targets"]:
                assert target["datasource"] == SOURCE
                assert 'job=~"$job",instance=~"$instance"' in target["expr"]
                assert HERE not in target["expr"]

    def test_every_query_has_a_letter_and_a_legend(self, board: dict[str, Any]) -> None:
        for panel in drawn(board):
            letters = [target["refId"] for target in panel["targets"]]
            assert letters == sorted(set(letters))
            assert all(target["legendFormat"] for target in panel["targets"])
            assert panel["description"]

    def test_what_can_be_chosen(self, board: dict[str, Any]) -> None:
        source, job, instance = board["templating"]["list"]
        assert (source["name"], source["type"], source["query"]) == ("datasource", "datasource", "prometheus")
        for each in (job, instance):
            assert (each["type"], each["datasource"]) == ("query", SOURCE)
            assert each["multi"] is each["includeAll"] is True
            assert each["current"]["value"] == ["$__all"]
        assert (job["name"], instance["name"]) == ("job", "instance")

    def test_it_names_no_host(self) -> None:
        assert "://" not in grafana.render(ROWS)


class TestPanel:
    def test_limits_that_rise(self) -> None:
        assert steps(one(limits=Limits(10, 100))) == [(None, "green"), (10, "orange"), (100, "red")]

    def test_limits_that_fall(self) -> None:
        panel = one(kind=Kind.STAT, limits=Limits(1, 0.5, falling=True))
        assert steps(panel) == [(None, "red"), (0.5, "orange"), (1, "green")]
        assert panel["options"]["colorMode"] == "background"

    def test_one_limit_has_nothing_between(self) -> None:
        assert steps(one(limits=Limits(1, 1))) == [(None, "green"), (1, "red")]
        assert steps(one(limits=Limits(1, 1, falling=True))) == [(None, "red"), (1, "green")]

    def test_without_limits_there_is_one_color(self) -> None:
        assert steps(one(kind=Kind.STAT)) == [(None, "text")]

    def test_words_stand_for_no_and_yes(self) -> None:
        (said,) = one(kind=Kind.STAT, words=("refused", "taken"))["fieldConfig"]["defaults"]["mappings"]
        assert {value: each["text"] for value, each in said["options"].items()} == {"0": "refused", "1": "taken"}

    @pytest.mark.parametrize(
        ("unit", "name"),
        [(Unit.COUNT, "short"), (Unit.SECONDS, "s"), (Unit.SHARE, "percentunit"), (Unit.PER_SECOND, "cps")],
    )
    def test_unit(self, unit: Unit, name: str) -> None:
        assert one(unit=unit)["fieldConfig"]["defaults"]["unit"] == name

    def test_table_shows_its_columns_first(self) -> None:
        panel = one(kind=Kind.TABLE, columns=("kind", "result"), counts=False)
        (organised,) = panel["transformations"]
        assert organised["options"]["indexByName"] == {"kind": 0, "result": 1, "Value": 2}
        assert organised["options"]["excludeByName"]["Value"] is True
        assert (panel["targets"][0]["format"], panel["targets"][0]["instant"]) == ("table", True)
