"""The rules for Prometheus: promtool tests each rule, each alert has a runbook, and the runbooks' commands exist."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

import servers
from stopit_ctl.__main__ import command_line

ROOT = Path(__file__).parents[2]
RULES = ROOT / "config" / "prometheus" / "stopit.rules.yml"
ALERTMANAGER = RULES.with_name("alertmanager.yml")
TESTS = ROOT / "tests" / "prometheus"
PAGES = ROOT / "docs" / "runbooks"
GROUPS = yaml.safe_load(RULES.read_text())["groups"]
ALERTS = {rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule}
RECORDS = {rule["record"] for group in GROUPS for rule in group["rules"] if "record" in rule}
PARTS = ("How to look", "What to do", "When it is over")
COMMANDS = sorted(
    {
        (page.stem, line)
        for page in PAGES.glob("*.md")
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.S)
        for line in block.splitlines()
    }
)

each_alert = pytest.mark.parametrize("name", sorted(ALERTS))


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run(
        [servers.program("promtool"), *map(str, arguments)], capture_output=True, text=True, check=False, timeout=150
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_rules_and_scrape_lines_are_what_prometheus_reads(tmp_path: Path) -> None:
    promtool("check", "rules", RULES)
    lines = (RULES.parent / "scrape.yml").read_text()
    here = tmp_path / "prometheus.yml"
    here.write_text(lines.replace("/etc/prometheus/rules/stopit.rules.yml", str(RULES)))
    assert str(RULES) in here.read_text()
    promtool("check", "config", here)


@pytest.mark.parametrize("test", sorted(TESTS.glob("*.yml")), ids=lambda test: test.stem)
def test_every_rule_does_what_its_test_says(test: Path) -> None:
    assert "SUCCESS" in promtool("test", "rules", test)


def amtool(*arguments: str | Path) -> str:
    done = subprocess.run(
        [servers.program("amtool"), *map(str, arguments)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def test_the_example_for_alertmanager_is_what_it_reads_and_names_alerts_that_there_are() -> None:
    amtool("check-config", ALERTMANAGER)
    named = set(re.findall(r"Stopit\w+", ALERTMANAGER.read_text()))
    assert named
    assert named <= set(ALERTS)


@pytest.mark.parametrize(
    ("alert", "receiver"),
    [
        ("StopitMilterDown", "on-call"),
        ("StopitDeadLetters", "ops"),
        ("StopitStaffCasesWaiting", "staff"),
        ("StopitRecurrenceRising", "staff"),
    ],
)
def test_who_hears_of_an_alert(alert: str, receiver: str) -> None:
    severity = ALERTS[alert]["labels"]["severity"]
    labels = (f"alertname={alert}", f"severity={severity}")
    assert amtool("config", "routes", "test", f"--config.file={ALERTMANAGER}", *labels) == receiver


def test_the_jobs_that_the_rules_ask_for_are_those_of_the_scrape_lines() -> None:
    jobs = {job["job_name"] for job in yaml.safe_load((RULES.parent / "scrape.yml").read_text())["scrape_configs"]}
    assert set(re.findall(r'job="([^"]+)"', RULES.read_text())) == jobs


def test_every_recorded_figure_is_tested_and_every_other_one_that_is_asked_for_is_recorded() -> None:
    asked = {check["expr"] for test in cases_of("recording") for check in test["promql_expr_test"]}
    assert asked == RECORDS
    assert set(re.findall(r"stopit:\w+:\w+", RULES.read_text())) == RECORDS


def cases_of(name: str) -> list[dict[str, Any]]:
    tests: list[dict[str, Any]] = yaml.safe_load((TESTS / f"{name}.yml").read_text())["tests"]
    return tests


@each_alert
def test_an_alert_says_what_it_is_and_for_how_long(name: str) -> None:
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in ("critical", "warning", "info")
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert alert["annotations"]["runbook_url"] == f"file:///usr/share/doc/stopit/runbooks/{name}.md"
    assert alert["for"] != "0s"


@each_alert
def test_an_alert_is_tested_to_fire_after_its_time_and_to_stay_quiet(name: str) -> None:
    tests = cases_of(name)
    checks = [check for test in tests for check in test["alert_rule_test"]]
    assert {check["alertname"] for check in checks} == {name}
    quiet_before = [
        test
        for test in tests
        if any(check["exp_alerts"] for check in test["alert_rule_test"])
        and not test["alert_rule_test"][0]["exp_alerts"]
    ]
    assert quiet_before, "no test sees it quiet first and then fire"
    assert [test for test in tests if not any(check["exp_alerts"] for check in test["alert_rule_test"])]


@each_alert
def test_an_alert_has_a_page(name: str) -> None:
    text = (PAGES / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n\nSeverity: {ALERTS[name]['labels']['severity']}.\n")
    assert tuple(re.findall(r"^## (.+)$", text, re.M)) == PARTS
    assert f"({name}.md)" in (PAGES / "README.md").read_text()


def test_every_page_is_of_an_alert() -> None:
    assert {page.stem for page in PAGES.glob("*.md")} - {"README"} == set(ALERTS)


def test_a_log_line_that_a_page_quotes_is_in_the_sources() -> None:
    pages = "".join(page.read_text() for page in PAGES.glob("*.md"))
    quoted = set(re.findall(r'"([a-z]+[ ,:][^"\n]+)"', pages))
    programs = [ROOT / "milter", ROOT / "notifier"]
    sources = "".join(path.read_text() for program in programs for path in program.rglob("*.py"))

    assert quoted
    assert [line for line in sorted(quoted) if not all(text in sources for text in line.split("..."))] == []


@pytest.mark.parametrize(("page", "line"), COMMANDS, ids=lambda text: text)
def test_what_a_page_tells_to_type_is_there(page: str, line: str) -> None:
    program, *words = shlex.split(line)
    if program != "stopitctl":
        servers.program(program)
        return
    command: click.Command = command_line()
    while isinstance(command, click.Group):
        assert words, f"{page}: {line} names no command"
        assert words[0] in command.commands, f"{page}: there is no {line}"
        command = command.commands[words.pop(0)]
    # Parsed as stopitctl does, with examples for words in capitals; a file that is named need not exist.
    words = ["/dev/null" if word == "FILE.eml" else word for word in words]
    command.make_context(command.name, words)
