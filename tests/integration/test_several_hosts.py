"""Two mail hosts and two notifiers on one Redis service and one PostgreSQL; the Redis master changes three times.

The oracle is a set of clients that send flags through both Postfixes without a pause, record each 250, and send
deferred flags again, as a member's client does. Meanwhile a failover is ordered (the old master still runs, and
accepts reports that it then discards), the next master is killed, and the next one hangs and continues later. At the
end each flag that got a 250 is in one case, each sender has one notice, and it contains nothing of a reporter.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from email.message import EmailMessage
from functools import partial

import pytest
import redis

from stopit_core.cases import CaseStore
from stopit_lab.messages import reply
from stopit_lab.people import Cast
from stopit_lab.postgresql import PostgreSql
from stopit_lab.sentinel import RedisService
from stopit_lab.site import Site
from stopit_lab.story import Story
from stopit_lab.waiting import until

pytestmark = pytest.mark.integration

MakeSite = Callable[..., Site]

SENDERS = 90
CLIENTS = 4
PAUSE, LONG_PAUSE = 0.2, 0.8
"""Seconds between two flags of one client; the long pause during a failover, so that flags do not run out."""
FLAGS_BETWEEN = 16
"""Flags that are accepted between two faults."""
QUIET = 5.0
"""Seconds in which a second notice would have come: its delay is two at most."""
AT_MOST = 60.0
"""Seconds within which all reports must be processed after the last fault is repaired."""


@dataclass
class Oracle:
    """Clients that send each of `flags` until it is accepted. `accepted`: (reporter, sender) of each 250."""

    sites: list[Site]
    flags: Iterator[tuple[str, str, EmailMessage]]
    pause: float = PAUSE
    accepted: list[tuple[str, str]] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Start the clients."""
        self.threads = [threading.Thread(target=self._client, args=(number,)) for number in range(CLIENTS)]
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        """Stop each client after its current flag is accepted."""
        self.ended.set()
        for thread in self.threads:
            thread.join()
        assert self.failures == []

    def wait_for_more(self) -> None:
        """Return when `FLAGS_BETWEEN` more flags were accepted."""
        self.pause = PAUSE
        enough = len(self.accepted) + FLAGS_BETWEEN
        until(lambda: self.failures or len(self.accepted) >= enough, "more flags")
        assert self.failures == []
        self.pause = LONG_PAUSE

    def _client(self, number: int) -> None:
        sites = itertools.cycle(self.sites[number % 2 :] + self.sites[: number % 2])
        try:
            while not self.ended.wait(self.pause):
                with self.lock:
                    reporter, sender, original = next(self.flags)
                flag = reply(original, reporter, "stopit")
                while not (said := next(sites).submit(flag, reporter, [sender])).accepted:
                    assert said.temporary, said
                    time.sleep(PAUSE)
                self.accepted.append((reporter, sender))
        except BaseException as error:  # noqa: BLE001  what a thread raises, no flags left too, is the test's failure
            self.failures.append(error)


@pytest.fixture
def cases_url(postgresql_process: PostgreSql) -> str:
    postgresql_process.start()
    return postgresql_process.new_database()


@pytest.fixture
def hosts(make_site: MakeSite, redis_service: RedisService, cases_url: str) -> list[Site]:
    """Two hosts of one campus, each with a Postfix, a milter and a notifier."""
    stores = {
        "queue": {"url": redis_service.url},
        "ledger": {"url": redis_service.url},
        "cases": {"url": cases_url},
        "policy": {"notice_delay": ["1s", "2s"]},
        "notifier": {"settle": "5s"},
    }
    first = make_site(values=stores)
    key = {"url": redis_service.url, "key_file": first.directory / "site.key"}
    return [first, make_site(values={**stores, "ledger": key}, mail=first.postfix.mail)]


def test_failovers_of_redis_lose_no_report_and_repeat_no_notice(
    hosts: list[Site], redis_service: RedisService, cases_url: str
) -> None:
    stories = [Story(hosts[number % 2], Cast(number)) for number in range(1, SENDERS + 1)]
    originals = {story.cast.mallory: story.write(recipients=_reporters(story.cast)) for story in stories}
    for message in originals.values():
        hosts[0].wait_until_traced(message)
    first = redis_service.master()
    with redis.Redis.from_url(first.url) as client:
        assert client.wait(2, 10_000) == 2  # a trace may be lost in a failover; this is about reports

    flags = [(r, s.cast.mallory, originals[s.cast.mallory]) for s in stories for r in _reporters(s.cast)]
    oracle = Oracle(hosts, iter(flags))
    oracle.start()
    try:
        oracle.wait_for_more()
        for host in hosts:
            host.notifier.terminate()  # so that reports wait in the queue, where they can be lost
        with redis_service.sentinels[0].client() as sentinel:
            sentinel.execute_command("SENTINEL", "FAILOVER", redis_service.name)
        oracle.pause = PAUSE
        second = redis_service.wait_for_another(first)
        for host in hosts:
            host.notifier.start()
        oracle.wait_for_more()
        second.kill()
        third = redis_service.wait_for_another(second)
        oracle.wait_for_more()
        second.start()
        third.freeze()
        redis_service.wait_for_another(third)
        oracle.wait_for_more()
        third.thaw()
        oracle.wait_for_more()
    finally:
        oracle.stop()

    assert sum(_flags(site, "spooled") for site in hosts) > 0
    with closing(CaseStore(cases_url)) as store:
        until(lambda: _reports(store) == sorted(oracle.accepted), "each flag in one case", AT_MOST)
        _one_notice_each(stories, oracle.accepted)
        assert _reports(store) == sorted(oracle.accepted)
    until(lambda: all(_spooled(site) == 0 for site in hosts), "empty spools", AT_MOST)


def _reporters(cast: Cast) -> list[str]:
    return [cast.vera, cast.walt, cast.bob, cast.eve]


def _flags(site: Site, result: str) -> float:
    return site.milter_metrics().value("stopit_flags_total", channel="reply", result=result)


def _spooled(site: Site) -> int:
    return len(list((site.directory / "spool").glob("*.report")))


def _reports(store: CaseStore) -> list[tuple[str, str]]:
    """Return the (reporter, sender) of each report on record, with repetitions."""
    with store.reading() as reading:
        found = [
            (row.reporter, row.sender) for case in reading.list_cases(None, 1000) for row in reading.reports(case)
        ]
    return sorted(found)


def _one_notice_each(stories: list[Story], accepted: list[tuple[str, str]]) -> None:
    """Wait until each sender has a notice and each reporter an acknowledgement, and assert that there is no other."""
    flagged = {sender for _, sender in accepted}
    for story in stories:
        if story.cast.mallory in flagged:
            until(story.notices, f"a notice to {story.cast.mallory}", AT_MOST)
    for reporter, sender in accepted:
        story = next(story for story in stories if story.cast.mallory == sender)
        until(partial(story.service_mail, reporter), f"an answer to {reporter}", AT_MOST)
    time.sleep(QUIET)
    for story in stories:
        notices = story.notices()
        assert len(notices) == (story.cast.mallory in flagged)
        names = [*_reporters(story.cast), *story.secrets()]
        assert [name for notice in notices for name in names if name in notice] == []
        mailbox = story.site.mailbox(story.cast.mallory)
        assert [message for message in mailbox.messages() if not story.is_service_mail(message)] == []
