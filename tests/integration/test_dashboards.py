"""The Grafana dashboard and the console page, with a real Prometheus that scrapes real daemons.

Two sites have had a little of everything by mail; then the second one's notifier was given a faulty configuration.
The queries are taken from the files as they are committed, and the page is looked at in a real browser.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest

from servers import require
from stopit_dashboards.panel import Kind, Panel
from stopit_dashboards.panels import panels
from stopit_lab.browser import Browser, Page
from stopit_lab.load import mixed_load, ordinary_mail
from stopit_lab.people import Cast
from stopit_lab.prometheus import Prometheus
from stopit_lab.site import Site, Stores
from stopit_lab.waiting import until

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "config" / "grafana" / "stopit.json").read_text())
CONSOLES = ROOT / "config" / "prometheus" / "consoles"
RULES = ROOT / "config" / "prometheus" / "stopit.rules.yml"
PATH = "/consoles/stopit.html"
DESKTOP, PHONE = (1400, 900), (390, 844)
_TICK = 900
"""In seconds: where the graphs of one hour have their ticks."""

pytestmark = pytest.mark.integration


class Tags(HTMLParser):
    """Fails at a tag that is closed and is not the last one open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag not in ("meta", "link", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


class Watched(NamedTuple):
    """Two sites, and the Prometheus that scrapes them."""

    sites: tuple[Site, Site]
    prometheus: Prometheus


@pytest.fixture(scope="module")
def watched(servers: None, tmp_path_factory: pytest.TempPathFactory, casts: Iterator[Cast]) -> Iterator[Watched]:
    """Two sites at which everything that the panels show has happened and was scraped."""
    require("prometheus")
    place = tmp_path_factory.mktemp("watched")
    with Site(Stores.SQLITE) as first, Site(Stores.REDIS) as second:
        targets = {
            job: [site.addresses[place] for site in (first, second)]
            for place, job in enumerate(("stopit-milter", "stopit-notifier"))
        }
        with Prometheus(place, targets, CONSOLES, [_at_once(place)]) as prometheus:
            until(lambda: set(prometheus.up().values()) == {"up"}, "the first scrape of each daemon")
            for site in (first, second):
                mixed_load(site, casts)
                ordinary_mail(site, next(casts), 5)
            second.config.write_text("[campus]\nname = 1\n")
            second.notifier.reload()
            exprs = [query.at('instance=~".*"') for panel in panels() for query in panel.queries]
            until(lambda: all(_values(prometheus, expr) for expr in exprs), "an answer to each query")
            yield Watched((first, second), prometheus)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for all tests of the page."""
    require("chromium")
    with Browser() as running:
        yield running


@pytest.fixture(scope="module")
def console(watched: Watched, browser: Browser) -> Page:
    """The page on a wide screen, with its graphs drawn."""
    return _opened(watched, browser.page(*DESKTOP))


def test_each_grafana_query_has_an_answer(watched: Watched) -> None:
    asked = [
        (panel["title"], target["expr"].replace("$job", ".*").replace("$instance", ".*"))
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", [])
    ]

    assert len(asked) == sum(len(panel.queries) for panel in panels())
    assert [(title, expr) for title, expr in asked if "$" in expr or not _values(watched.prometheus, expr)] == []


def test_grafana_finds_the_jobs_and_instances_to_choose_from(watched: Watched) -> None:
    """Grafana's label_values(series, label) returns the label's values."""
    chosen = {
        each["name"]: re.fullmatch(r"label_values\((.*), (\w+)\)", each["query"]["query"])
        for each in DASHBOARD["templating"]["list"]
        if each["type"] == "query"
    }
    found = {
        name: {sample.labels[asked[2]] for sample in watched.prometheus.query(asked[1].replace("$job", ".*"))}
        for name, asked in chosen.items()
        if asked
    }

    assert found["job"] == {"stopit-milter", "stopit-notifier"}
    assert found["instance"] == {address for site in watched.sites for address in site.addresses}


def test_page_is_drawn_without_a_fault(console: Page) -> None:
    assert console.faults() == []
    assert console.evaluate("document.querySelectorAll('.prom_graph_error').length") == 0
    assert console.evaluate("document.getElementById('no-graphs').hidden") is True


def test_page_has_the_panels_in_their_order(console: Page) -> None:
    found = console.evaluate("[...document.querySelectorAll('[data-panel]')].map(each => each.dataset.panel)")
    assert found == [panel.key for panel in panels()]


def test_each_panel_of_the_page_is_filled(console: Page, watched: Watched) -> None:
    assert [panel.key for panel in panels() if not _filled(console, panel)] == []
    asked = console.evaluate("PromConsole._graph_registry.flatMap(each => each.params.expr)")
    assert len(asked) == sum(len(panel.queries) for panel in panels() if panel.kind is Kind.GRAPH)
    assert [expr for expr in asked if not _values(watched.prometheus, expr)] == []


@pytest.mark.parametrize("query", ["", "?instance=nobody"], ids=["with data", "without"])
def test_every_tag_of_the_page_is_closed(watched: Watched, query: str) -> None:
    tags = Tags()
    tags.feed(watched.prometheus.page(f"{PATH}{query}"))
    assert tags.open == []


def test_what_is_wrong_is_red(console: Page, watched: Watched) -> None:
    """The second notifier refused its configuration; with no patience left in the rules, an alert fires at once."""
    assert _state(console, "last-reload") == ("bad", "refused")
    assert _state(console, "alerts")[0] == "bad"
    assert _state(console, "milters-up") == ("well", "100%")
    firing = console.evaluate("document.querySelector('[data-panel=firing]').textContent")
    assert "StopitReloadFailed" in firing
    assert watched.sites[1].addresses[1] in firing


def test_graphs_can_be_moved_in_time(console: Page) -> None:
    console.evaluate("document.getElementById('prom_graph_duration_grow').click()")
    _wait_for_graphs(console)

    assert console.evaluate("document.getElementById('prom_graph_duration').value") == "2h"
    assert console.faults() == []


def test_one_instance_can_be_shown_alone(watched: Watched, browser: Browser) -> None:
    milter, _ = watched.sites[0].addresses
    page = _opened(watched, browser.page(*DESKTOP), f"?job=stopit-milter&instance={milter}")

    assert page.evaluate("document.querySelector('.targets .chosen b').textContent") == milter
    legend = page.evaluate("document.querySelector('[data-panel=connections] .rickshaw_legend').textContent")
    assert milter in legend
    assert watched.sites[1].addresses[0] not in legend
    assert _state(page, "last-reload") == ("well", "accepted")
    assert _state(page, "notifiers-up") == ("none", "no data")
    assert page.faults() == []


def test_instance_that_is_none_asks_nothing_else(watched: Watched, browser: Browser) -> None:
    page = browser.page(*DESKTOP)
    for name in ('"} or vector(1) or up{job="', "</script><script>throw 1</script>", "\\", "å`%s{{"):
        _opened(watched, page, f"?instance={quote(name)}")

        assert _state(page, "milters-up") == ("none", "no data")
        assert page.faults() == []


@pytest.mark.parametrize("end", ["now", "just after a tick"])
def test_page_fits_a_phone(watched: Watched, browser: Browser, end: str) -> None:
    """Also where a graph ends right after the tick of a quarter of an hour, whose label then has no room."""
    page = _opened(watched, browser.page(*PHONE, phone=True), "" if end == "now" else _ending_after_a_tick())

    assert page.evaluate("document.documentElement.scrollWidth") == PHONE[0]
    parts = ".panel, .panel svg, .x_tick .title"
    wide = f"[...document.querySelectorAll('{parts}')].filter(e => e.getBoundingClientRect().right > 375)"
    assert page.evaluate(f"{wide}.map(e => e.outerHTML)") == []
    assert (page.evaluate("document.querySelectorAll('.before-its-tick').length") > 0) or end == "now"
    assert page.faults() == []


@pytest.mark.parametrize("missing", ["*/classic/static/*", "*/rickshaw/*"], ids=["all of it", "a part"])
def test_without_the_graph_library_the_numbers_are_there(watched: Watched, browser: Browser, missing: str) -> None:
    """Prometheus 3.0 and later has no graph library; a Prometheus that is not Debian's has it at another path."""
    page = browser.page(*DESKTOP)
    page.call("Network.enable")
    page.call("Network.setBlockedURLs", urls=[missing])
    page.open(f"{watched.prometheus.url}{PATH}")

    assert page.evaluate("document.getElementById('no-graphs').hidden") is False
    assert _state(page, "milters-up") == ("well", "100%")
    assert [fault for fault in page.faults() if "/classic/static/" not in fault] == []


def test_daemon_that_is_down_is_seen(watched: Watched, browser: Browser) -> None:
    """Last, because it ends the second milter."""
    site = watched.sites[1]
    site.milter.kill()
    until(lambda: watched.prometheus.up()[site.addresses[0]] == "down", "a scrape that fails")
    page = _opened(watched, browser.page(*DESKTOP))

    assert _state(page, "milters-up") == ("look-at", "50%")
    down = page.evaluate("document.querySelector('.targets .down').textContent")
    assert site.addresses[0] in down
    assert page.faults() == []


def _filled(page: Page, panel: Panel) -> bool:
    """Return whether a panel shows numbers: a value, rows, or a line for each name of its legend."""
    here = f"document.querySelector('[data-panel={panel.key}]')"
    match panel.kind:
        case Kind.STAT:
            return page.evaluate(f"{here}.querySelector('b').textContent") not in ("", "no data", "NaN")
        case Kind.TABLE:
            return page.evaluate(f"{here}.querySelectorAll('tr').length > 1 && !{here}.querySelector('td[colspan]')")
        case Kind.GRAPH:
            names = page.evaluate(f"[...{here}.querySelectorAll('.rickshaw_legend .label')].map(e => e.textContent)")
            lines = page.evaluate(f"[...{here}.querySelectorAll('svg path.path')].map(e => e.getAttribute('d'))")
            named = all(name and "undefined" not in name and "[[" not in name for name in names)
            return named and len(names) == len(lines) > 0 and all(line and "NaN" not in line for line in lines)


def _at_once(place: Path) -> Path:
    """The rules as shipped, but evaluated each second, and without the time that an alert waits."""
    hasty = re.sub(r"\bfor: \w+", "for: 0s", re.sub(r"\binterval: \w+", "interval: 1s", RULES.read_text()))
    path = place / "rules.yml"
    path.write_text(hasty)
    return path


def _values(prometheus: Prometheus, expr: str) -> list[float]:
    """Return the current values of an expression; none where one of them is not a number."""
    values = [sample.value for sample in prometheus.query(expr)]
    return [] if any(math.isnan(value) for value in values) else values


def _opened(watched: Watched, page: Page, query: str = "") -> Page:
    page.open(f"{watched.prometheus.url}{PATH}{query}")
    _wait_for_graphs(page)
    return page


def _ending_after_a_tick() -> str:
    """Return the URL fragment with which the graphs show the hour up to half a minute after the next tick."""
    end = math.ceil(time.time() / _TICK) * _TICK + 30
    return "#pctc" + quote(json.dumps({"duration": 3600, "endTime": end}))


def _wait_for_graphs(page: Page) -> None:
    loading = "document.querySelectorAll('.prom_graph_loading').length"
    until(lambda: page.evaluate(loading) == 0, "the graphs to be drawn")


def _state(page: Page, key: str) -> tuple[str, str]:
    """Return the class of a stat, and its text."""
    here = f"document.querySelector('[data-panel={key}]')"
    states = page.evaluate(f"[...{here}.classList]")
    return states[-1], page.evaluate(f"{here}.querySelector('b').textContent")
