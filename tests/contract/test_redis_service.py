"""Queue and ledger on a Redis service with three servers and three Sentinels, whose master dies.

Redis loses writes that only the old master has, with or without WAIT: the tests show this, and that the copies
restore them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import redis

from stopit_core.config import LedgerStore, QueueStore
from stopit_core.errors import Transient
from stopit_core.model import Digest
from stopit_core.open_stores import open_ledger, open_queue, queue_durability_faults
from stopit_core.stores.ledger import Ledger
from stopit_core.stores.queue import Queue
from stopit_core.stores.queue.failover_copies import FailoverCopies
from stopit_core.stores.queue.spool import Spool
from stopit_lab.sentinel import RedisService
from stopit_lab.waiting import until

pytestmark = pytest.mark.integration

AT_ONCE = 2.0
"""Seconds in which a client must notice that the master is down, so that the report goes to the spool."""


@pytest.fixture
def service(redis_service: RedisService) -> RedisService:
    return redis_service


@pytest.fixture
def queue(service: RedisService) -> Iterator[Queue]:
    with closing(open_queue(QueueStore(url=service.url))) as opened:
        yield opened


def put_as_soon_as_possible(queue: Queue, name: str) -> str:
    """Put a report, retrying while there is no master. Return its replication id."""

    def put() -> str:
        before = time.monotonic()
        try:
            return queue.put(name, name.encode())
        except Transient:
            assert time.monotonic() - before < AT_ONCE
            return ""

    return until(put, "a master that takes reports", 60.0)


def reports(queue: Queue) -> list[str]:
    return [delivery.payload.decode() for delivery in queue.waiting(10_000)]


@pytest.mark.parametrize("fault", ["kill", "freeze"])
def test_stores_come_to_the_new_master_by_themselves(service: RedisService, queue: Queue, fault: str) -> None:
    settings = QueueStore(url=service.url)
    pair = Digest(b"12345678")
    assert queue_durability_faults(settings) == ()
    with closing(open_ledger(LedgerStore(url=service.url))) as ledger:
        for name in "abc":
            old_id = queue.put(name, name.encode())
        assert old_id == queue.replication_id() == ledger.replication_id()
        first, second = queue.claim("one", 2, 60.0)
        queue.ack(first.id)
        ledger.watch(pair, time.time() + 60)
        old = service.master()
        with redis.Redis.from_url(old.url) as client:
            assert client.wait(1, 5000) >= 1

        getattr(old, fault)()
        new_id = put_as_soon_as_possible(queue, "d")

        assert service.wait_for_another(old)
        assert new_id != old_id
        assert until(lambda: told(queue), "Sentinels that agree") == new_id
        assert reports(queue) == ["b", "c", "d"]
        queue.ack(second.id)
        # Each client with a connection to a hanging master notices it by one time-out.
        assert until(lambda: claimed(queue), "reports of the new master") == [b"c", b"d"]
        until(lambda: is_watched(ledger, pair), "the watched pair at the new master")
        assert until(lambda: told(ledger), "Sentinels that agree") == new_id
        assert queue_durability_faults(settings) == ()


def claimed(queue: Queue) -> list[bytes]:
    try:
        return [delivery.payload for delivery in queue.claim("two", 9, 60.0)]
    except Transient:
        return []


def is_watched(ledger: Ledger, pair: Digest) -> bool:
    try:
        return pair in ledger.watched(time.time())
    except Transient:
        return False


def told(store: Queue | Ledger) -> str:
    try:
        return store.replication_id()
    except Transient:
        return ""


def test_every_server_and_the_sentinels_are_looked_at(service: RedisService) -> None:
    settings = QueueStore(url=service.url)
    master, first, second = service.servers
    for server, name, value in (
        (master, "min-replicas-to-write", "0"),
        (first, "appendfsync", "everysec"),
        (second, "min-replicas-max-lag", "60"),
    ):
        with redis.Redis.from_url(server.url) as client:
            client.config_set(name, value)
    with service.sentinels[0].client() as sentinel:
        sentinel.execute_command("SENTINEL", "SET", service.name, "down-after-milliseconds", "60000")
    faults = [fault.partition(": ")[2] for fault in queue_durability_faults(settings)]
    assert sorted(faults) == [
        "appendfsync is everysec; it must be always",
        "down-after-milliseconds is 60000; it must be 30000 or less",
        "min-replicas-max-lag is 60; it must be 10 or less, and not 0",
        "min-replicas-to-write is 0; it must be 1 or more",
    ]
    two = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in service.sentinels[1:])
    named = queue_durability_faults(QueueStore(url=f"redis+sentinel://{two}/{service.name}"))
    assert any(fault.endswith("there are 3, and the URL names 2; it must name each of them") for fault in named)
    first.kill()
    second.kill()
    assert any(fault.endswith("no replica answers; there must be one") for fault in queue_durability_faults(settings))


def test_a_majority_of_the_sentinels_determines_the_replication_id(service: RedisService, queue: Queue) -> None:
    old_id = queue.put("a", b"a")
    for sentinel in service.sentinels[:2]:
        sentinel.freeze()
    assert queue.put("b", b"b") == old_id
    with pytest.raises(Transient, match="no majority of the Sentinels agrees"):
        queue.replication_id()
    service.sentinels[0].thaw()
    assert queue.replication_id() == old_id


def test_what_only_the_old_master_had_is_put_again(service: RedisService, queue: Queue, tmp_path: Path) -> None:
    copies = FailoverCopies(queue, Spool(tmp_path / "spool"))
    copies.put("both", b"both")
    old = service.master()
    with redis.Redis.from_url(old.url) as client:
        assert client.wait(2, 5000) == 2
        client.config_set("min-replicas-to-write", "0")
        replicas = [server for server in service.servers if server is not old]
        for replica in replicas:
            replica.freeze()
        client.execute_command("CLIENT", "KILL", "TYPE", "replica")
        copies.put("alone", b"alone")
        assert copies.reconcile() == 0
        old.kill()
        for replica in replicas:
            replica.thaw()
    service.wait_for_another(old)

    put_as_soon_as_possible(queue, "later")
    assert reports(queue) == ["both", "later"]
    until(lambda: reconciled(copies) == 2, "copies that were put again")
    assert sorted(reports(queue)) == ["alone", "both", "both", "later"]
    assert reconciled(copies) == 0


def reconciled(copies: FailoverCopies) -> int:
    try:
        return copies.reconcile()
    except Transient:
        return 0


def test_wait_is_no_promise_and_a_copy_is(service: RedisService, queue: Queue, tmp_path: Path) -> None:
    """A failover from a running master: until it is told, it accepts reports, and a replica confirms them."""
    copies = FailoverCopies(queue, Spool(tmp_path / "spool"))
    old = service.master()
    accepted, confirmed = [], []
    with redis.Redis.from_url(old.url) as client, closing(open_queue(QueueStore(url=old.url))) as behind:
        with service.sentinels[0].client() as sentinel:
            sentinel.execute_command("SENTINEL", "FAILOVER", service.name)
        deadline = time.monotonic() + 30.0
        while time.monotonic() < deadline:
            name = f"r{len(accepted)}"
            try:
                old_id = str(client.info("replication")["master_replid"])
                behind.put(name, name.encode())
                if client.wait(1, 1000) >= 1:
                    confirmed.append(name)
            except (Transient, redis.RedisError):
                break
            Spool(tmp_path / "spool").subspool(old_id).put(name, name.encode())
            accepted.append(name)
    service.wait_for_another(old)
    put_as_soon_as_possible(queue, "later")

    lost = set(confirmed) - set(reports(queue))
    print(f"of {len(confirmed)} reports that WAIT 1 confirmed, {len(lost)} were lost")
    assert lost
    until(lambda: reconciled(copies), "copies that were put again")
    until(lambda: told(queue), "Sentinels that agree")
    assert set(reports(queue)) == {*accepted, "later"}
