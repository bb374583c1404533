"""The console page as a template: its queries, and its syntax. A browser renders it in tests/integration."""

from __future__ import annotations

import re

import pytest

from stopit_dashboards import console
from stopit_dashboards.panel import HERE, Kind, Limits, Panel, Query, Row, Unit
from stopit_dashboards.panels import ROWS, panels

PAGE = console.render(ROWS)


def one(**values: object) -> str:
    """Return the page with one panel."""
    query = Query(f'100% of x{{job="a",{HERE}}}', "{instance}")
    chosen: dict = {"key": "one", "title": "One <b>", "answers": "How. `stopitctl check` & co.", "queries": (query,)}
    return console.render((Row("Well?", "Look.", (Panel(**{**chosen, **values}),)),))


def test_every_question_is_asked_of_what_was_chosen() -> None:
    for panel in panels():
        for query in panel.queries:
            assert f"printf `{query.expr.replace(HERE, '%[1]s')}` $here" in PAGE


def test_every_panel_has_its_place() -> None:
    assert re.findall(r'<div class="graph" id="([^"]+)"', PAGE) == [
        panel.key for panel in panels() if panel.kind is Kind.GRAPH
    ]
    assert set(re.findall(r'data-panel="([^"]+)"', PAGE)) == {panel.key for panel in panels()}


def test_no_mark_of_the_frame_is_left() -> None:
    assert re.findall(r"@[A-Z]+@", PAGE) == []
    assert HERE not in PAGE


def test_it_asks_no_other_host() -> None:
    assert "://" not in PAGE


def test_template_actions_are_closed() -> None:
    opened = re.findall(r"\{\{-? ?(?:if|with|range)\b", PAGE)
    assert len(opened) == len(re.findall(r"\{\{-? ?end ?-?\}\}", PAGE)) > 0


def test_words_of_ours_are_escaped() -> None:
    page = one()
    assert "One &lt;b&gt;" in page
    assert "<code>stopitctl check</code> &amp; co." in page


def test_percent_sign_stays_one() -> None:
    assert 'printf `100%% of x{job="a",%[1]s}` $here' in one()


@pytest.mark.parametrize(
    ("limits", "shown_as"),
    [
        (Limits(10, 100), "{{ if ge $v 100.000000 }}bad{{ else if ge $v 10.000000 }}look-at{{ else }}well{{ end }}"),
        (
            Limits(1, 0.5, falling=True),
            "{{ if lt $v 0.500000 }}bad{{ else if lt $v 1.000000 }}look-at{{ else }}well{{ end }}",
        ),
    ],
)
@pytest.mark.parametrize("kind", [Kind.STAT, Kind.GRAPH])
def test_value_has_the_class_of_its_limits(kind: Kind, limits: Limits, shown_as: str) -> None:
    assert shown_as in one(kind=kind, limits=limits)


def test_words_stand_for_no_and_yes() -> None:
    assert "{{ if ge $v 1.0 }}taken{{ else }}refused{{ end }}" in one(kind=Kind.STAT, words=("refused", "taken"))


@pytest.mark.parametrize("unit", Unit)
def test_script_can_say_every_unit(unit: Unit) -> None:
    assert f'"{unit.value}": function' in PAGE
