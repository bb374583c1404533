"""While a part of Stopit is down, mail passes, and no flag is lost or let through."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from stopit_lab.messages import message, reply
from stopit_lab.people import Cast
from stopit_lab.site import Site, Stores
from stopit_lab.story import Story

pytestmark = pytest.mark.integration

MakeSite = Callable[..., Site]
Settled = Callable[[Site], None]

WITHOUT_DELAY = 1.0
"""Seconds that ordinary mail may take with a store away, from connection to 250; without one it takes 0.05."""
FLAG_ACCEPTED = 2.0
"""Seconds that a flag may take with the queue away."""


def _ordinary_mail_passes(story: Story) -> None:
    for number in range(10):
        lunch = message(story.cast.bob, [story.cast.eve], f"Lunch {number}", "At noon?")
        begin = time.monotonic()
        assert story.site.submit(lunch, story.cast.bob, [story.cast.eve]).accepted
        assert time.monotonic() - begin < WITHOUT_DELAY
        story.find(story.cast.eve, lunch)


class TestQueueAway:
    """Redis is killed or hangs; the SQLite queue is locked by somebody else."""

    @pytest.fixture
    def redis_site(self, make_site: MakeSite) -> Site:
        return make_site(stores=Stores.REDIS)

    @pytest.mark.parametrize("fault", ["kill", "freeze"])
    def test_redis(self, redis_site: Site, cast: Cast, fault: str, nothing_more_is_sent: Settled) -> None:
        site, story = redis_site, Story(redis_site, cast)
        assert site.redis is not None
        original = story.write()
        story.site.wait_until_traced(original)

        getattr(site.redis, fault)()
        _ordinary_mail_passes(story)
        begin = time.monotonic()
        flag = story.flag(original)
        took = time.monotonic() - begin
        story.staff_copy(flag)
        site.postfix.wait_until_queue_is_empty()

        assert took < FLAG_ACCEPTED
        assert not story.has(cast.mallory, flag)
        assert story.notices() == []
        assert site.milter_metrics().value("stopit_flags_total", channel="reply", result="spooled") == 1

        site.redis.start()
        story.notice()
        nothing_more_is_sent(site)
        assert len(story.notices()) == 1
        assert not story.has(cast.mallory, flag)
        assert list((site.directory / "spool").rglob("*.report")) == []

    def test_locked_sqlite(self, make_site: MakeSite, cast: Cast, nothing_more_is_sent: Settled) -> None:
        site = make_site(stores=Stores.SQLITE)
        story = Story(site, cast)
        original = story.write()
        story.site.wait_until_traced(original)

        with _locked(site.directory / "queue.db"), _locked(site.directory / "ledger.db"):
            _ordinary_mail_passes(story)
            begin = time.monotonic()
            flag = story.flag(original)
            assert time.monotonic() - begin < FLAG_ACCEPTED

        story.notice()
        nothing_more_is_sent(site)
        assert len(story.notices()) == 1
        assert not story.has(cast.mallory, flag)

    def test_spool_away_too(self, redis_site: Site, cast: Cast, nothing_more_is_sent: Settled) -> None:
        site, story = redis_site, Story(redis_site, cast)
        assert site.redis is not None
        original = story.write()
        story.site.wait_until_traced(original)
        flag = reply(original, cast.vera, "stopit")
        spool = site.directory / "spool"

        site.redis.kill()
        spool.rename(site.directory / "spool-away")
        spool.write_text("no directory any more")
        _ordinary_mail_passes(story)
        refused = site.submit(flag, cast.vera, [cast.mallory])

        assert refused.step == "."
        assert refused.code == 451
        assert not story.has(cast.mallory, flag)

        spool.unlink()
        (site.directory / "spool-away").rename(spool)
        site.redis.start()
        retried = site.submit(flag, cast.vera, [cast.mallory])
        assert retried.accepted
        story.notice()
        nothing_more_is_sent(site)
        assert len(story.notices()) == 1
        assert len(story.service_mail(cast.vera)) == 1
        assert not story.has(cast.mallory, flag)


def test_milter_dead(site: Site, story: Story) -> None:
    original = story.write()
    story.site.wait_until_traced(original)
    flag = reply(original, story.cast.vera, "stopit")
    outside = message(story.cast.olga, [story.cast.vera], "From outside", "Hello.")

    site.milter.kill()
    try:
        refused = site.submit(flag, story.cast.vera, [story.cast.mallory])
        assert site.receive(outside, story.cast.olga, [story.cast.vera]).accepted
    finally:
        site.milter.start()

    assert refused.temporary
    story.find(story.cast.vera, outside)
    assert not story.has(story.cast.mallory, flag)
    assert site.submit(flag, story.cast.vera, [story.cast.mallory]).accepted
    story.notice()
    assert not story.has(story.cast.mallory, flag)


def test_reports_wait_for_the_notifier(site: Site, story: Story) -> None:
    original = story.write()

    site.notifier.terminate()
    try:
        flag = story.flag(original)
        story.staff_copy(flag)
    finally:
        site.notifier.start()

    assert story.notice()
    assert story.acknowledgement()


class _locked:
    """Hold a write transaction of another process on this SQLite file during the block."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)

    def __enter__(self) -> None:
        self._connection.execute("PRAGMA busy_timeout = 10000")
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, *_: object) -> None:
        with closing(self._connection):
            self._connection.execute("ROLLBACK")
