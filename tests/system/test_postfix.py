"""Stopit's package on a Debian with systemd, Postfix, Dovecot and Redis: in service, killed, and reloaded.

The tests use only mail and the commands of a postmaster.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from stopit_lab.mailhost import UNITS, MailHost
from stopit_lab.messages import message
from stopit_lab.people import Cast
from stopit_lab.postfix_host import PostfixHost
from stopit_lab.story import Story
from stopit_lab.waiting import until

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

BACK = 5.0
"""Seconds within which a killed daemon must do its work again."""


def flag_and_see(story: Story[MailHost]) -> None:
    """Flag a message. Assert that the sender gets one notice, and that it contains nothing of the reporter."""
    original = story.write()
    flag = story.flag(original)
    notice, acknowledgement, copy = story.notice(), story.acknowledgement(), story.staff_copy(flag)

    assert not story.has(story.cast.mallory, flag)
    assert story.site.mailbox(story.cast.mallory).messages() == [notice]
    assert [secret for secret in story.secrets() if secret in notice] == []
    assert acknowledgement.text.lstrip().startswith("In danger now? Call 112.")
    assert copy.header("X-Stopit-Flag") == "flag"
    assert story.service_mail(story.cast.walt) == []
    assert not story.has(story.cast.walt, flag)


def test_main_job_by_real_logins(story: Story[PostfixHost]) -> None:
    flag_and_see(story)

    assert len(story.notices()) == 1


@pytest.mark.long  # PAM delays the reply to a wrong password
def test_a_wrong_password_does_not_get_in(story: Story[PostfixHost]) -> None:
    client = story.site.client(story.cast.vera, password="wrong horse")
    said = client.send(message(story.cast.vera, [story.cast.mallory], "Re: Hi", "stopit"), story.cast.vera, [])

    assert (said.step, said.code) == ("AUTH", 535)


def test_doctor_finds_nothing_but_the_clock_that_a_container_does_not_keep(site: PostfixHost) -> None:
    said = str(site.ctl("doctor", "--send-test", check=False))

    faults = [line for line in said.splitlines() if line.startswith("FAULT") and "clock:" not in line]
    assert faults == [], said
    assert "its answer passed the milter" in said, said


def test_nothing_is_left_to_set_up(site: PostfixHost) -> None:
    assert "Nothing to do" in site.ctl("setup", "postfix").out


@pytest.mark.parametrize("unit", UNITS)
def test_unit_runs_under_its_hardening(site: PostfixHost, unit: str) -> None:
    """The kernel shows the limits of the unit for each of its processes."""
    pids = site.processes(unit)
    assert pids, site.host.journal(unit)
    for pid in pids:
        lines = site.host.run("cat", f"/proc/{pid}/status").out.splitlines()
        status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        held = {name: status[name] for name in ("CapEff", "CapPrm", "CapBnd", "CapAmb", "NoNewPrivs", "Seccomp")}
        none = dict.fromkeys(("CapEff", "CapPrm", "CapBnd", "CapAmb"), "0" * 16)
        assert held == {**none, "NoNewPrivs": "1", "Seccomp": "2"}, f"process {pid}"
    # Ten times the score that systemd-analyze gives, from 0 (safe) to 100; above the threshold it fails.
    site.host.run("systemd-analyze", "security", "--threshold=15", "--no-pager", unit)
    assert site.host.run("systemd-analyze", "verify", "--man=no", unit).err == ""


@pytest.mark.parametrize("unit", UNITS)
def test_a_killed_daemon_is_back_and_does_its_work(story: Story[PostfixHost], unit: str) -> None:
    before, killed = story.site.pid(unit), time.monotonic()
    story.site.host.run("kill", "-9", str(before))
    until(lambda: story.site.pid(unit) not in (0, before) and story.site.is_ready(unit), f"{unit} to be back")
    away = time.monotonic() - killed

    assert away < BACK, story.site.host.journal(unit)
    flag = story.flag(story.write())
    story.notice()
    story.staff_copy(flag)
    assert not story.has(story.cast.mallory, flag)


def test_a_faulty_file_is_refused_and_the_old_one_stays_in_force(
    story: Story[PostfixHost], casts: Iterator[Cast]
) -> None:
    site = story.site

    def reloaded(value: float) -> None:
        site.host.run("systemctl", "reload", *UNITS)
        for unit in UNITS:
            until(
                lambda unit=unit: site.metrics(unit).value("stopit_config_last_reload_successful") == value,
                f"{unit} to say that its reload was {value}",
            )

    site.change({("campus", "emergency"): '["Call 113 now."]', ("policy", "cooldown"): '"for ever"'})
    reloaded(0)
    flag_and_see(story)  # the acknowledgement begins with the old number

    site.change({("policy", "cooldown"): '"30d"'})
    reloaded(1)
    again = Story(site, next(casts))
    again.flag(again.write())
    assert again.acknowledgement().text.lstrip().startswith("Call 113 now.")
