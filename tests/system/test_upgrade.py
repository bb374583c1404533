"""An upgrade from the previous package to this one, while members flag and reports wait in the queue."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from stopit_lab.mailhost import NOTIFIER, QUICK, REDIS, UNITS
from stopit_lab.people import Cast
from stopit_lab.postfix_host import PostfixHost
from stopit_lab.story import Story
from stopit_lab.traffic import Traffic

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(1200)]

BEFORE = "0.0.1"
FLAGS = 6


def version(site: PostfixHost, unit: str) -> str:
    """Return the version that a daemon reports."""
    (told,) = (labels for name, labels, _ in site.metrics(unit).series() if name == "stopit_build_info")
    return told["version"]


@pytest.fixture(scope="module")
def old_site(make_host: Callable[..., PostfixHost], build: Callable[[str], Path]) -> PostfixHost:
    """A mail server that runs the package before, with queue and ledger in Redis.

    That package is this tree under an older version, or the one that $STOPIT_PACKAGE_BEFORE names: it must have been
    built by `./run deb --version 0.0.1`.
    """
    made = make_host(PostfixHost)
    given = os.environ.get("STOPIT_PACKAGE_BEFORE")
    made.install(Path(given) if given else build(BEFORE))
    made.let_into_redis()
    made.configure({**QUICK, **REDIS})
    made.start()
    made.tell_mta()
    return made


def test_upgrade_keeps_everything_and_loses_nothing(
    old_site: PostfixHost, package: Path, clients: Sequence[Cast]
) -> None:
    site = old_site
    told, asked = Story(site, Cast(1)), Story(site, Cast(2))
    told.flag(told.write())
    told.notice()
    told.acknowledgement()
    kept = {path: site.host.path(path).read_bytes() for path in ("/etc/stopit/stopit.toml", "/etc/stopit/site.key")}
    running = {unit: site.pid(unit) for unit in UNITS}
    assert {version(site, unit) for unit in UNITS} == {BEFORE}

    with Traffic(site, clients) as traffic:
        traffic.wait_for_flags(FLAGS)
        site.host.run("systemctl", "kill", "--signal=STOP", "--kill-whom=main", NOTIFIER)  # so that reports wait
        asked.flag(asked.write())
        traffic.wait_for_flags(FLAGS)
        assert site.cases_by_report(), "the record of the version before"
        site.install(package)
        traffic.wait_for_flags(FLAGS)
    traffic.oracle.wait_until_settled(site)

    assert traffic.oracle.faults(site) == [], traffic.oracle.refused
    asked.notice()
    asked.acknowledgement()
    assert len(told.notices()) == len(asked.notices()) == 1
    for unit in UNITS:
        assert site.is_ready(unit)
        assert site.pid(unit) != running[unit]
        assert version(site, unit) != BEFORE
        assert site.host.show(unit, "UnitFileState") == "enabled"
    assert {path: site.host.path(path).read_bytes() for path in kept} == kept
    faults = [line for line in str(site.ctl("doctor", check=False)).splitlines() if line.startswith("FAULT")]
    assert [line for line in faults if "clock:" not in line] == []


def test_removal_keeps_data_and_a_new_installation_goes_on_with_it(old_site: PostfixHost, package: Path) -> None:
    site = old_site
    before = site.cases_by_report()
    site.untell_mta()
    site.host.run("apt-get", "remove", "--yes", "stopit", environment={"DEBIAN_FRONTEND": "noninteractive"})
    assert site.host.run("pgrep", "-a", "-f", "stopit[-_]", check=False).out == ""

    site.install(package)
    site.start()
    site.tell_mta()
    story = Story(site, Cast(3))
    story.flag(story.write())
    story.notice()

    after = site.cases_by_report()
    assert len(after) == len(before) + 1
    assert {report: after.get(report) for report in before} == before
