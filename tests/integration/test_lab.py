"""The lab itself: a site that can't start says why, and leaves nothing behind."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stopit_lab.client import Client
from stopit_lab.messages import message
from stopit_lab.people import Cast, login_of
from stopit_lab.postfix import Postfix
from stopit_lab.site import Site, Stores
from stopit_lab.story import Story

pytestmark = pytest.mark.integration


@pytest.fixture
def home() -> Iterator[Path]:
    """A directory with a short name: a socket's path must stay under 108 bytes."""
    with tempfile.TemporaryDirectory(prefix="stopit-home-") as name:
        yield Path(name)


def test_site_that_cannot_start_says_why_and_leaves_nothing(home: Path) -> None:
    site = Site(Stores.SQLITE, values={"milter": {"workers": 0}}, home=home)

    with pytest.raises(RuntimeError, match=r"milter\.workers"), site:
        pass

    assert list(home.iterdir()) == []
    assert not site.milter.running


def test_site_is_idle_only_after_all_is_delivered(story: Story[Site]) -> None:
    story.flag(story.write())

    story.site.wait_until_idle()

    assert len(story.notices()) == 1
    assert len(story.service_mail(story.cast.vera)) == 1


def test_postfix_adds_no_header_to_the_mail_of_members_clients(home: Path, cast: Cast) -> None:
    """As on a production server: it completes and rewrites headers only for its own host by default, and in the lab
    every client is on that host. Without a milter, so nothing else could add one."""
    home.chmod(0o755)
    postfix = Postfix(home / "postfix", "", bare=True)
    postfix.start()
    try:
        mail = message(cast.vera, [cast.walt], "No number", "A client that leaves the number to the server.\n")
        del mail["Message-ID"]
        del mail["Date"]
        said = Client(postfix.submission, login=login_of(cast.vera)).send(mail, cast.vera, [cast.walt])
        arrived = postfix.mailbox(cast.walt).wait_for(
            lambda found: found.header("Subject") == "No number", "the mail"
        )
    finally:
        postfix.stop()

    assert said.accepted
    assert arrived.header("Message-ID") == ""
    assert arrived.header("Date") == ""
