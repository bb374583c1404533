"""The main job with Sendmail as the MTA: Debian's own, with real logins."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stopit_lab.people import Cast
from stopit_lab.sendmail_host import SendmailHost
from stopit_lab.story import Story

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(900)]

PEOPLE = tuple(Cast(number) for number in range(4))


@pytest.fixture(scope="module")
def site(make_host: Callable[..., SendmailHost], package: Path) -> SendmailHost:
    """A mail server with Sendmail and an installed Stopit, with queue and ledger in SQLite."""
    made = make_host(SendmailHost, PEOPLE)
    made.install(package)
    made.configure()
    made.start()
    made.tell_mta()
    return made


def test_main_job(site: SendmailHost) -> None:
    story = Story(site, PEOPLE[1])
    original = story.write()
    flag = story.flag(original)
    notice, acknowledgement, copy = story.notice(), story.acknowledgement(), story.staff_copy(flag)

    assert not story.has(story.cast.mallory, flag)
    assert [found.subject for found in site.mailbox(story.cast.mallory).messages()] == [notice.subject]
    assert [secret for secret in story.secrets() if secret in notice] == []
    assert acknowledgement.text.lstrip().startswith("In danger now? Call 112.")
    assert copy.header("X-Stopit-Flag") == "flag"
    assert not story.has(story.cast.walt, flag)


def test_reply_to_all_and_to_aliases_reaches_nobody(site: SendmailHost) -> None:
    """Sendmail expands aliases before the milter's edits, so their targets must be removed too."""
    story = Story(site, PEOPLE[2])
    original = story.write()
    cast = story.cast
    tagged = cast.walt.replace("@", "+work@")
    flag, said = story.answer(
        original, to=[cast.mallory.upper(), cast.everyone, cast.mallory_alias, tagged, cast.bob]
    )
    story.staff_copy(flag)
    story.notice()

    assert said.accepted
    for reader in (cast.mallory, cast.walt, cast.vera, cast.bob):
        assert not story.has(reader, flag), reader
    assert len(site.staff.matching(lambda found: found.header("Message-ID") == flag["Message-ID"])) == 1


def test_answer_to_the_acknowledgement_cancels(site: SendmailHost) -> None:
    """The reply address has a +TOKEN: the milter reads it, and the alias accepts it."""
    site.change({("policy", "notice_delay"): '["1h", "1h"]'})
    site.host.run("systemctl", "reload", "stopit-notifier")
    story = Story(site, PEOPLE[3])
    story.flag(story.write())
    acknowledgement = story.acknowledgement()
    _, said = story.answer(acknowledgement.message, typed="cancel", to=[story.reply_address(acknowledgement)])
    assert said.accepted
    site.mailbox(story.cast.vera).wait_for(
        lambda found: story.is_service_mail(found) and found != acknowledgement, "the answer to cancel"
    )
    assert story.notices() == []


def test_doctor_finds_nothing_but_the_clock_that_a_container_does_not_keep(site: SendmailHost) -> None:
    said = str(site.ctl("doctor", "--send-test", check=False))

    faults = [line for line in said.splitlines() if line.startswith("FAULT") and "clock:" not in line]
    assert faults == [], said
    assert "its answer passed the milter" in said, said
