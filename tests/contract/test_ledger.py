"""The contract of the ledger for both backends, on real files and a real redis-server."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from stopit_core.config import LedgerStore
from stopit_core.errors import Transient
from stopit_core.model import AuthResults, Digest, Trace
from stopit_core.open_stores import open_ledger
from stopit_core.stores.ledger import GRACE, MAX_PASSES, Ledger
from stopit_core.stores.ledger.redis import RedisLedger
from stopit_core.stores.ledger.sqlite import SqliteLedger
from stopit_core.stores.redis_client import connect
from stopit_lab.redis import Redis

DAY = 86400.0
HOUR = 3600.0
RETENTION_DAYS = 3
NOW = time.time()


@pytest.fixture
def opened(backend: Any) -> Iterator[Callable[[], Ledger]]:
    """Opens the ledger at each call; all are closed at the end."""
    ledgers: list[Ledger] = []

    def opened() -> Ledger:
        ledgers.append(
            open_ledger(LedgerStore.model_validate({"url": backend.url, "retention": f"{RETENTION_DAYS}d"}))
        )
        return ledgers[-1]

    yield opened
    for ledger in ledgers:
        ledger.close()


@pytest.fixture
def ledger(opened: Callable[[], Ledger]) -> Ledger:
    return opened()


def digest(number: int) -> Digest:
    return Digest(number.to_bytes(16, "big"))


def trace(number: int, seen: float = NOW, queue_id: str = "4XYZ") -> Trace:
    return Trace(message=digest(number), seen=seen, queue_id=queue_id)


FULL = Trace(
    message=digest(7),
    seen=NOW,
    queue_id="4XYZ",
    login="mallory",
    mail_from="mallory@example.edu",
    header_from="bob@example.edu",
    client="192.0.2.7",
    relay=True,
    bulk=True,
    own=True,
    recipient_count=3,
    recipients=b"8 bytes.8 more..",
    auth_results=AuthResults(True, "example.edu", "example.edu"),
)


def test_a_trace_is_found_as_it_was_written(ledger: Ledger) -> None:
    ledger.write([FULL, trace(8)])
    assert ledger.find(FULL.message) == [FULL]


def test_what_is_not_there_is_not_found(ledger: Ledger) -> None:
    assert ledger.find(digest(1)) == []
    ledger.write([])
    ledger.write([trace(1)])
    assert ledger.find(digest(2)) == []


def test_a_trace_outlives_the_ledger_object(opened: Callable[[], Ledger]) -> None:
    first = opened()
    first.write([FULL])
    first.close()
    assert opened().find(FULL.message) == [FULL]


def test_all_passes_are_kept_earliest_first(ledger: Ledger) -> None:
    ledger.write([trace(1, NOW, "C"), trace(2), trace(1, NOW - 2, "B")])
    ledger.write([trace(1, NOW - DAY, "A")])
    assert [t.queue_id for t in ledger.find(digest(1))] == ["A", "B", "C"]


def test_passes_written_at_the_same_time_by_several_are_all_kept(opened: Callable[[], Ledger]) -> None:
    ledgers = [opened() for _ in range(4)]
    ledgers[0].ping()

    def write(at: int) -> None:
        for number in range(10):
            ledgers[at].write([trace(1, NOW + number, f"{at}-{number}")])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert {t.queue_id for t in ledgers[0].find(digest(1))} == {f"{a}-{n}" for a in range(4) for n in range(10)}


def test_writing_a_batch_again_makes_no_second_pass(ledger: Ledger) -> None:
    batch = [trace(1, NOW, "A"), trace(1, NOW + 1, "B"), trace(2)]
    ledger.write(batch)
    ledger.write(batch)
    assert ledger.find(digest(1)) == batch[:2]
    assert ledger.find(digest(2)) == batch[2:]


def test_large_batches_are_kept_whole_whatever_stands_twice_in_them(ledger: Ledger) -> None:
    first = [trace(number, NOW + number / 1000) for number in range(230)]
    again = [trace(number % 115, NOW + 1 + number / 1000) for number in range(230)]
    ledger.write(first)
    ledger.write(again)
    ledger.write(first[:130])
    for number in (0, 49, 50, 99, 114):
        assert ledger.find(digest(number)) == [first[number], again[number], again[number + 115]]
    assert ledger.find(digest(229)) == [first[229]]


@pytest.mark.parametrize("size", [1, 7, MAX_PASSES * 2])
def test_of_a_flood_under_one_message_id_at_most_max_passes_are_kept(ledger: Ledger, size: int) -> None:
    flood = [trace(1, NOW + number / 1000, str(number)) for number in range(MAX_PASSES * 2)]
    for start in range(0, len(flood), size):
        ledger.write(flood[start : start + size])
    assert ledger.find(digest(1)) == flood[:MAX_PASSES]
    ledger.write([trace(2)])
    assert ledger.find(digest(2)) == [trace(2)]


def test_nothing_is_found_after_the_retention(ledger: Ledger) -> None:
    kept, gone = NOW - RETENTION_DAYS * DAY + HOUR, NOW - RETENTION_DAYS * DAY - HOUR
    ledger.write([trace(1, kept), trace(1, gone), trace(2, gone)])
    assert ledger.find(digest(1)) == [trace(1, kept)]
    assert ledger.find(digest(2)) == []


def test_a_trace_from_a_clock_that_was_ahead_is_found(ledger: Ledger) -> None:
    ahead = trace(1, NOW + DAY)
    ledger.write([ahead])
    assert ledger.find(digest(1)) == [ahead]


def test_expire_leaves_what_is_within_the_retention(ledger: Ledger) -> None:
    ledger.write([trace(1), trace(2, NOW - (RETENTION_DAYS - 1) * DAY)])
    assert ledger.expire(NOW) == 0
    assert ledger.expire(NOW + DAY) == 0  # a clock that is a day ahead
    assert ledger.find(digest(1))
    assert ledger.find(digest(2))


def test_a_watch_holds_until_its_end(ledger: Ledger) -> None:
    one, two = Digest(b"pair-one"), Digest(b"\x00pair(2\xff")
    assert ledger.watched(NOW) == frozenset()
    ledger.watch(one, NOW + 10)
    ledger.watch(two, NOW + 20)
    assert ledger.watched(NOW) == {one, two}
    assert ledger.watched(NOW + 10) == {two}
    assert ledger.watched(NOW + 20) == frozenset()


@pytest.mark.parametrize("ends", [(10, 20), (20, 10)])
def test_of_two_watches_the_later_end_holds(ledger: Ledger, ends: tuple[int, int]) -> None:
    for end in ends:
        ledger.watch(Digest(b"pair-one"), NOW + end)
    assert ledger.watched(NOW + 15) == {b"pair-one"}


def test_expire_removes_watches_long_after_their_end(ledger: Ledger) -> None:
    ledger.watch(Digest(b"pair-one"), NOW)
    ledger.watch(Digest(b"pair-two"), NOW + GRACE)
    ledger.expire(NOW + GRACE + 1)
    assert ledger.watched(NOW - 1) == {b"pair-two"}


def test_while_the_store_is_away_it_says_so_soon_and_recovers(ledger: Ledger, backend: Any) -> None:
    ledger.write([trace(1)])
    for how, gone in backend.away():
        with gone:
            before = time.monotonic()
            with pytest.raises(Transient):
                ledger.write([trace(2)])
            assert time.monotonic() - before < 1.5, how
            with pytest.raises(Transient):
                ledger.ping()
        ledger.ping()
        ledger.write([trace(2)])
    assert ledger.find(digest(1)) == [trace(1)]
    assert ledger.find(digest(2)) == [trace(2)]


def test_a_wiped_store_works_again_at_once(ledger: Ledger, backend: Any) -> None:
    ledger.write([trace(1)])
    backend.wipe()
    assert ledger.find(digest(1)) == []
    assert ledger.watched(NOW) == frozenset()
    ledger.write([trace(2)])
    assert ledger.find(digest(2)) == [trace(2)]


def test_in_sqlite_a_damaged_trace_does_not_hide_the_others(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.db", RETENTION_DAYS * DAY)
    ledger.write([trace(1, NOW, "A"), trace(1, NOW + 1, "B")])
    with closing(sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)) as db:
        db.execute("UPDATE trace SET payload = x'01ff' WHERE seen = ?", (NOW,))
    assert [t.queue_id for t in ledger.find(digest(1))] == ["B"]
    ledger.close()


def test_in_sqlite_expire_removes_in_parts_until_nothing_old_is_left(tmp_path: Path) -> None:
    ledger = SqliteLedger(tmp_path / "ledger.db", DAY)
    ledger.write([trace(number, NOW - 3 * DAY) for number in range(25_000)] + [trace(1)])
    removed = [ledger.expire(NOW), ledger.expire(NOW), ledger.expire(NOW)]
    assert removed == [20_000, 5_000, 0]
    assert ledger.find(digest(1)) == [trace(1)]
    ledger.close()


def test_in_redis_a_damaged_trace_does_not_hide_the_others(redis_server: Redis) -> None:
    client = connect(redis_server.url)
    ledger = RedisLedger(client, RETENTION_DAYS * DAY)
    ledger.write([trace(1, NOW, "A"), trace(1, NOW + 1, "B")])
    [key] = client.keys("stopit:trace:*")
    client.hset(key, digest(1), b"\x01\xff")
    assert [t.queue_id for t in ledger.find(digest(1))] == ["B"]
    ledger.close()


def test_in_redis_every_day_expires_whole_and_not_before_its_time(redis_server: Redis) -> None:
    client = connect(redis_server.url)
    ledger = RedisLedger(client, RETENTION_DAYS * DAY)
    ledger.write([trace(number, NOW - days * DAY) for number in range(100) for days in range(2)])
    for key in client.keys("stopit:trace:*"):
        day = int(key.decode().split(":")[2])
        last_of_day = (day + 1) * DAY
        end = client.expiretime(key)
        assert last_of_day + RETENTION_DAYS * DAY <= end <= last_of_day + (RETENTION_DAYS + 1.1) * DAY
    ledger.close()
