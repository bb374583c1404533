"""Cases of the queue in Redis only: foreign entries in the stream, many leases, a server that refuses commands."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from stopit_core.errors import Transient
from stopit_core.stores.queue.redis import RedisQueue
from stopit_core.stores.redis_client import connect, connect_reader
from stopit_lab.redis import Redis

STREAM, DEAD = "stopit:queue", "stopit:queue:dead"
LONG = 60.0


@pytest.fixture
def client(redis_server: Redis) -> Iterator[redis.Redis]:
    client = connect(redis_server.url)
    yield client
    client.close()


@pytest.fixture
def queue(redis_server: Redis) -> Iterator[RedisQueue]:
    queue = RedisQueue(connect(redis_server.url), connect_reader(redis_server.url), 3)
    yield queue
    queue.close()


def test_a_foreign_entry_is_delivered_and_can_be_buried(queue: RedisQueue, client: redis.Redis) -> None:
    client.xadd(STREAM, {"hello": "world"})
    queue.put("a", b"a")
    foreign, ours = queue.claim("one", 10, LONG)
    assert (foreign.payload, ours.payload) == (b"", b"a")
    assert 0 <= queue.depths().oldest_age < 60
    queue.bury(foreign.id, "is no report")
    assert [dead.payload for dead in queue.dead(10)] == [b""]


def test_a_damaged_dead_letter_does_not_hide_the_others(queue: RedisQueue, client: redis.Redis) -> None:
    queue.put("a", b"a")
    queue.bury(queue.claim("one", 1, LONG)[0].id, "why")
    client.hset(DEAD, "1-1", b"\xc1")
    assert [dead.payload for dead in queue.dead(10)] == [b"a"]
    assert not queue.retry("1-1")
    assert queue.drop("1-1")


def test_more_passed_leases_than_a_page_all_come_out(queue: RedisQueue) -> None:
    for number in range(250):
        queue.put(f"r{number}", str(number).encode())
    assert len(queue.claim("dead", 250, LONG)) == 250
    again = queue.claim("alive", 240, 0.0)
    assert [int(d.payload) for d in again] == list(range(240))
    assert {d.attempts for d in again} == {2}


def test_a_pending_entry_that_was_deleted_is_forgotten(queue: RedisQueue, client: redis.Redis) -> None:
    queue.put("gone", b"gone")
    queue.put("a", b"a")
    gone, _ = queue.claim("dead", 2, LONG)
    client.xdel(STREAM, gone.id)
    assert [d.payload for d in queue.claim("alive", 2, 0.0)] == [b"a"]
    assert queue.depths().claimed == 1


def test_a_lost_group_is_made_again_from_the_start(queue: RedisQueue, client: redis.Redis) -> None:
    for name in "ab":
        queue.put(name, name.encode())
    queue.ack(queue.claim("one", 1, LONG)[0].id)
    queue.claim("one", 1, LONG)
    client.xgroup_destroy(STREAM, "notifier")
    assert [(d.payload, d.attempts) for d in queue.waiting(10)] == [(b"b", 0)]
    assert queue.depths().waiting == 1
    assert [d.payload for d in queue.claim("one", 10, LONG)] == [b"b"]


def test_another_report_under_the_same_id_is_not_acknowledged(queue: RedisQueue, client: redis.Redis) -> None:
    """During a failover two masters can give one id to two reports."""
    queue.put("a", b"a")
    [claimed] = queue.claim("one", 1, LONG)
    client.delete(STREAM)
    client.xadd(STREAM, {"id": "b", "report": b"b", "at": "1.0"}, id=claimed.id)
    queue.ping()
    queue.ack(claimed.id)
    [other] = queue.claim("two", 1, LONG)
    assert (other.id, other.payload) == (claimed.id, b"b")
    queue.ack(other.id)
    assert queue.waiting(10) == []


def test_a_server_out_of_memory_refuses_and_loses_nothing(queue: RedisQueue, client: redis.Redis) -> None:
    queue.put("a", b"a")
    client.config_set("maxmemory", "1")
    try:
        with pytest.raises(Transient, match="maxmemory"):
            queue.put("b", b"b")
        with pytest.raises(Transient, match="maxmemory"):
            queue.ping()
    finally:
        client.config_set("maxmemory", "0")
    assert [d.payload for d in queue.waiting(10)] == [b"a"]


def test_the_milters_role_needs_only_to_put(queue: RedisQueue, client: redis.Redis, redis_server: Redis) -> None:
    client.acl_setuser("milter", enabled=True, passwords=["+pw"], keys=[STREAM], commands=["+xadd"])
    url = redis_server.url.replace("unix://", "unix://milter:pw@")
    role = RedisQueue(connect(url), connect_reader(url), 3)
    try:
        role.put("a", b"a")
        with pytest.raises(Transient, match="no permissions"):
            role.waiting(10)
    finally:
        role.close()
        client.acl_deluser("milter")
    assert [d.payload for d in queue.claim("one", 1, LONG)] == [b"a"]


def test_a_key_of_another_type_is_transient(queue: RedisQueue, client: redis.Redis) -> None:
    client.set(STREAM, "text")
    for call in (queue.ping, queue.depths, lambda: queue.put("a", b"a"), lambda: queue.claim("one", 1, LONG)):
        with pytest.raises(Transient, match="WRONGTYPE"):
            call()
