"""The contract of the queue for both backends, on real files and a real redis-server."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from stopit_core.config import QueueStore
from stopit_core.errors import Transient
from stopit_core.open_stores import open_queue
from stopit_core.stores.queue import Queue

LEASE = 0.2
LONG = 60.0
MAX_ATTEMPTS = 3


@pytest.fixture
def opened(backend: Any) -> Iterator[Callable[[], Queue]]:
    """Opens the queue at each call; all are closed at the end."""
    queues: list[Queue] = []

    def opened() -> Queue:
        queues.append(open_queue(QueueStore(url=backend.url, max_attempts=MAX_ATTEMPTS)))
        return queues[-1]

    yield opened
    for queue in queues:
        queue.close()


@pytest.fixture
def queue(opened: Callable[[], Queue]) -> Queue:
    return opened()


def test_a_report_comes_out_as_it_was_put(queue: Queue) -> None:
    before = time.time()
    queue.put("a", b"\x00\xff payload")
    [delivery] = queue.claim("one", 10, LONG)
    assert delivery.payload == b"\x00\xff payload"
    assert delivery.attempts == 1
    assert before - 0.01 <= delivery.put_at <= time.time() + 0.01


def test_reports_come_in_order_and_no_more_than_asked_for(queue: Queue) -> None:
    for name in "abcde":
        queue.put(name, name.encode())
    assert [d.payload for d in queue.claim("one", 2, LONG)] == [b"a", b"b"]
    assert [d.payload for d in queue.claim("one", 9, LONG)] == [b"c", b"d", b"e"]


def test_a_report_outlives_the_queue_object(opened: Callable[[], Queue]) -> None:
    first = opened()
    first.put("a", b"a")
    first.close()
    assert [d.payload for d in opened().claim("one", 1, LONG)] == [b"a"]


def test_a_claimed_report_goes_to_nobody_else(opened: Callable[[], Queue]) -> None:
    queue, other = opened(), opened()
    queue.put("a", b"a")
    assert queue.claim("one", 1, LONG)
    assert other.claim("two", 1, LONG) == []


def test_two_consumers_share_and_get_nothing_twice(opened: Callable[[], Queue]) -> None:
    queues = [opened(), opened()]
    for number in range(60):
        queues[0].put(f"r{number}", str(number).encode())

    def take(at: int) -> list[bytes]:
        mine: list[bytes] = []
        while claimed := queues[at].claim(f"consumer-{at}", 4, LONG):
            mine += [d.payload for d in claimed]
            for delivery in claimed:
                queues[at].ack(delivery.id)
        return mine

    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(take, (0, 1))
    assert sorted(int(p) for p in one + two) == list(range(60))
    assert queues[0].depths().waiting == queues[0].depths().claimed == 0


def test_ack_is_by_id_not_by_order(queue: Queue) -> None:
    for name in "abc":
        queue.put(name, name.encode())
    first, middle, last = queue.claim("one", 3, LEASE)
    queue.ack(middle.id)
    time.sleep(LEASE * 1.5)
    assert {d.id for d in queue.claim("one", 3, LEASE)} == {first.id, last.id}


def test_of_what_comes_again_no_more_than_asked_for(queue: Queue) -> None:
    for name in "abcd":
        queue.put(name, name.encode())
    assert len(queue.claim("one", 3, LEASE)) == 3
    time.sleep(LEASE * 1.5)
    assert [(d.payload, d.attempts) for d in queue.claim("two", 9, LEASE, again=1)] == [(b"a", 2), (b"d", 1)]
    assert [(d.payload, d.attempts) for d in queue.claim("two", 9, LEASE, again=1)] == [(b"b", 2)]
    assert [(d.payload, d.attempts) for d in queue.claim("two", 9, LEASE)] == [(b"c", 2)]


def test_several_are_acknowledged_at_once(queue: Queue) -> None:
    for name in "abcd":
        queue.put(name, name.encode())
    first, _, third = queue.claim("one", 3, LEASE)
    queue.ack_all([first.id, "nonsense", third.id, first.id])
    queue.ack_all([])
    time.sleep(LEASE * 1.5)
    assert [d.payload for d in queue.claim("one", 9, LEASE)] == [b"b", b"d"]


@pytest.mark.parametrize("unknown", ["", "nonsense", "999999", "1-1", "99999999999999-0", "²", "9" * 40])
def test_an_unknown_id_is_ignored(queue: Queue, unknown: str) -> None:
    queue.put("a", b"a")
    queue.ack(unknown)
    queue.bury(unknown, "why")
    assert not queue.retry(unknown)
    assert not queue.drop(unknown)
    assert (queue.depths().waiting, queue.depths().dead) == (1, 0)


def test_a_second_ack_is_ignored(queue: Queue) -> None:
    queue.put("a", b"a")
    [delivery] = queue.claim("one", 1, LONG)
    queue.ack(delivery.id)
    queue.ack(delivery.id)
    assert queue.waiting(10) == []


def test_what_was_done_leaves_room_for_the_same_report_again(queue: Queue) -> None:
    queue.put("a", b"a")
    queue.ack(queue.claim("one", 1, LONG)[0].id)
    queue.put("a", b"a")
    assert len(queue.claim("one", 1, LONG)) == 1


def test_a_passed_lease_comes_out_again_before_new_ones(queue: Queue) -> None:
    queue.put("old", b"old")
    assert queue.claim("dead", 1, LEASE)
    queue.put("new", b"new")
    time.sleep(LEASE * 1.5)
    [again] = queue.claim("alive", 1, LEASE)
    assert (again.payload, again.attempts) == (b"old", 2)


def test_a_report_claimed_too_often_is_a_dead_letter_and_blocks_nobody(queue: Queue) -> None:
    queue.put("poison", b"poison")
    for name in "abc":
        queue.put(name, name.encode())
    done = []
    for attempt in range(1, MAX_ATTEMPTS + 1):
        for delivery in queue.claim("one", 10, LEASE):
            if delivery.payload == b"poison":
                assert delivery.attempts == attempt
            else:
                done.append(delivery.payload)
                queue.ack(delivery.id)
        time.sleep(LEASE * 1.5)
    assert queue.claim("one", 10, LEASE) == []
    assert done == [b"a", b"b", b"c"]
    [dead] = queue.dead(10)
    assert (dead.payload, dead.attempts) == (b"poison", MAX_ATTEMPTS)
    assert "3 times" in dead.error
    assert queue.depths().waiting == queue.depths().claimed == 0


def test_bury_retry_and_drop(queue: Queue) -> None:
    for name in "ab":
        queue.put(name, name.encode())
    for delivery in queue.claim("one", 2, LONG):
        queue.bury(delivery.id, f"cannot read {delivery.payload.decode()}")
    first, second = queue.dead(10)
    assert (first.payload, first.error, first.attempts) == (b"a", "cannot read a", 1)
    assert first.put_at <= first.buried_at <= time.time() + 0.01
    assert queue.claim("one", 2, 0.0) == []

    assert queue.retry(first.id)
    assert not queue.retry(first.id)
    assert queue.drop(second.id)
    assert not queue.drop(second.id)
    [back] = queue.claim("one", 2, LONG)
    assert (back.payload, back.attempts) == (b"a", 1)
    assert back.put_at == pytest.approx(first.put_at)
    assert queue.dead(10) == []


def test_what_is_done_cannot_be_buried_by_one_who_stalled(queue: Queue) -> None:
    queue.put("a", b"a")
    [delivery] = queue.claim("one", 1, LONG)
    queue.ack(delivery.id)
    queue.bury(delivery.id, "too late")
    assert queue.dead(10) == []


def test_dead_letters_are_listed_oldest_first_up_to_the_limit(queue: Queue) -> None:
    for number in range(12):
        queue.put(f"r{number}", str(number).encode())
    for delivery in queue.claim("one", 12, LONG):
        queue.bury(delivery.id, "why")
    assert [int(d.payload) for d in queue.dead(11)] == list(range(11))


def test_waiting_claims_nothing(queue: Queue) -> None:
    queue.put("a", b"a")
    queue.put("b", b"b")
    queue.claim("one", 1, LONG)
    assert [(d.payload, d.attempts) for d in queue.waiting(10)] == [(b"a", 1), (b"b", 0)]
    assert [d.payload for d in queue.waiting(1)] == [b"a"]
    assert [d.payload for d in queue.claim("one", 10, LONG)] == [b"b"]


def test_depths(queue: Queue) -> None:
    empty = queue.depths()
    assert (empty.waiting, empty.claimed, empty.dead, empty.oldest_age) == (0, 0, 0, 0.0)
    for name in "abcd":
        queue.put(name, b"")
    one, two = queue.claim("one", 2, LONG)
    queue.bury(one.id, "why")
    time.sleep(0.05)
    depths = queue.depths()
    assert (depths.waiting, depths.claimed, depths.dead) == (2, 1, 1)
    assert 0.05 <= depths.oldest_age < 5
    queue.ack(two.id)
    for delivery in queue.claim("one", 2, LONG):
        queue.ack(delivery.id)
    assert queue.depths().oldest_age == 0.0


def test_claim_waits_for_a_report(opened: Callable[[], Queue]) -> None:
    reader, writer = opened(), opened()
    writer.ping()
    with ThreadPoolExecutor(1) as pool:
        claimed = pool.submit(reader.claim, "one", 1, LONG, 10.0)
        time.sleep(0.2)
        put_at = time.monotonic()
        writer.put("a", b"a")
        assert [d.payload for d in claimed.result(5)] == [b"a"]
    assert time.monotonic() - put_at < 1.0


def test_claim_that_waits_in_vain_ends_in_time(queue: Queue) -> None:
    queue.ping()
    before = time.monotonic()
    assert queue.claim("one", 1, LONG, wait=0.3) == []
    assert 0.25 <= time.monotonic() - before < 1.0


def test_a_lease_that_passes_while_waiting_comes_out(queue: Queue) -> None:
    queue.put("a", b"a")
    queue.claim("dead", 1, LEASE)
    assert [d.attempts for d in queue.claim("alive", 1, LEASE, wait=5.0)] == [2]


def test_while_the_store_is_away_put_says_so_soon_and_it_recovers(queue: Queue, backend: Any) -> None:
    queue.put("before", b"before")
    for how, gone in backend.away():
        with gone:
            before = time.monotonic()
            with pytest.raises(Transient, match=backend.url.partition("//")[2].lstrip("/")):
                queue.put("during", b"during")
            assert time.monotonic() - before < 1.5, how
            with pytest.raises(Transient):
                queue.ping()
        queue.ping()
        queue.put(f"after {how}", how.encode())
    payloads = [d.payload for d in queue.claim("one", 10, LONG)]
    assert payloads[0] == b"before"
    assert {how.encode() for how, _ in backend.away()} <= set(payloads)


def test_what_was_acknowledged_to_the_putter_survives_a_kill(redis_server: Any) -> None:
    queue = open_queue(QueueStore(url=redis_server.url))
    for number in range(200):
        queue.put(f"r{number}", str(number).encode())
    redis_server.kill()
    redis_server.start()
    assert [int(d.payload) for d in queue.claim("one", 1000, LONG)] == list(range(200))
    queue.close()


PUTTER = """
import sys
from stopit_core.config import QueueStore
from stopit_core.open_stores import open_queue
queue = open_queue(QueueStore(url=sys.argv[1]))
for number in range(1_000_000):
    queue.put(f"r{number}", str(number).encode())
    print(number, flush=True)
"""


def test_what_a_killed_process_had_put_is_there(queue: Queue, backend: Any) -> None:
    putter = subprocess.Popen([sys.executable, "-c", PUTTER, backend.url], stdout=subprocess.PIPE, text=True)
    assert putter.stdout is not None
    told = [int(putter.stdout.readline()) for _ in range(100)]
    putter.kill()
    told += map(int, putter.communicate()[0].split())
    there = [int(d.payload) for d in queue.claim("one", 10**6, LONG)]
    assert there in (told, [*told, len(told)])


def test_a_wiped_store_works_again_at_once(queue: Queue, backend: Any) -> None:
    queue.put("a", b"a")
    [lost] = queue.claim("one", 1, LONG)
    backend.wipe()
    queue.ack(lost.id)
    assert queue.depths().claimed == 0
    queue.put("b", b"b")
    assert queue.depths().waiting == 1
    assert [d.payload for d in queue.claim("one", 10, LONG)] == [b"b"]


def test_a_store_wiped_under_a_waiting_reader(opened: Callable[[], Queue], backend: Any) -> None:
    reader, writer = opened(), opened()
    reader.ping()
    with ThreadPoolExecutor(1) as pool:
        claimed = pool.submit(reader.claim, "one", 1, LONG, 10.0)
        time.sleep(0.2)
        backend.wipe()
        time.sleep(0.2)
        writer.put("a", b"a")
        assert [d.payload for d in claimed.result(10)] == [b"a"]


def test_a_put_from_every_thread_arrives(queue: Queue) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: queue.put(f"r{number}", str(number).encode()), range(80)))
    assert sorted(int(d.payload) for d in queue.claim("one", 100, LONG)) == list(range(80))
