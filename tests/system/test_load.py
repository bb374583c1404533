"""Nothing is lost while members flag: an oracle records every 250, and compares afterwards.

Restarts, kills, a hang and a reboot, in the middle of mail.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import pytest

from stopit_lab.mailhost import MILTER, NOTIFIER, UNITS
from stopit_lab.people import Cast
from stopit_lab.postfix_host import PostfixHost
from stopit_lab.traffic import Traffic
from stopit_lab.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(900)]

OTHERS = ("postfix.service", "dovecot.service", "redis-server.service")
FLAGS = 6
"""Number of flags accepted between two faults."""
SHORT_WATCHDOG = 10
"""Seconds of the notifier's watchdog in this test, instead of five minutes."""


@pytest.fixture
def traffic(site: PostfixHost, clients: Sequence[Cast]) -> Iterator[Traffic]:
    """Clients that flag. At the end every reply that they got must be true."""
    with Traffic(site, clients) as running:
        running.wait_for_flags(FLAGS)
        yield running
        running.wait_for_flags(FLAGS)
    running.oracle.wait_until_settled(site)
    assert running.oracle.faults(site) == [], running.oracle.refused


@pytest.mark.parametrize("unit", [*UNITS, *OTHERS])
def test_restart(site: PostfixHost, traffic: Traffic, unit: str) -> None:
    before = len(traffic.oracle.flags)
    for _ in range(3):
        site.host.run("systemctl", "restart", unit)
        traffic.wait_for_flags(FLAGS)

    assert len(traffic.oracle.flags) >= before + 3 * FLAGS


@pytest.mark.parametrize("unit", UNITS)
def test_kill(site: PostfixHost, traffic: Traffic, unit: str) -> None:
    for _ in range(3):
        before = site.pid(unit)
        site.host.run("kill", "-9", str(before))
        until(lambda before=before: site.pid(unit) not in (0, before) and site.is_ready(unit), f"{unit} to be back")
        traffic.wait_for_flags(FLAGS)
        assert site.pid(unit) != before


def test_reboot(site: PostfixHost, traffic: Traffic) -> None:
    site.host.reboot()
    for unit in UNITS:
        site.wait_until_ready(unit)
    traffic.wait_for_flags(FLAGS)

    assert [unit for unit in UNITS if not site.is_ready(unit)] == []


@pytest.fixture
def watchdog(site: PostfixHost) -> Iterator[Callable[[str], int]]:
    """Return the seconds of a unit's watchdog: the milter's as shipped, the notifier's shortened."""
    drop_in = f"/etc/systemd/system/{NOTIFIER}.d/watchdog.conf"
    site.host.write(drop_in, f"[Service]\nWatchdogSec={SHORT_WATCHDOG}s\n")
    site.host.run("systemctl", "daemon-reload")
    site.host.run("systemctl", "restart", NOTIFIER)
    yield {MILTER: 30, NOTIFIER: SHORT_WATCHDOG}.__getitem__
    site.host.path(drop_in).unlink()
    site.host.run("systemctl", "daemon-reload")
    site.host.run("systemctl", "restart", NOTIFIER)


@pytest.mark.parametrize("unit", UNITS)
def test_hang(site: PostfixHost, watchdog: Callable[[str], int], traffic: Traffic, unit: str) -> None:
    before, began = site.pid(unit), time.monotonic()
    site.host.run("kill", "-STOP", str(before))
    until(lambda: site.pid(unit) not in (0, before) and site.is_ready(unit), f"{unit} to be back", 120)

    assert time.monotonic() - began < watchdog(unit) + 10, site.host.journal(unit)
    assert "Watchdog timeout" in site.host.journal(unit)
    traffic.wait_for_flags(FLAGS)
