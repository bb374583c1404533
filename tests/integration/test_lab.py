"""The lab itself: a site that can't start says why, and leaves nothing behind."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

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
