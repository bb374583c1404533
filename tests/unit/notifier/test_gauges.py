"""The gauge of the queue's durability: checked every minute; the last value stands while the server is away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isnan
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from stopit_core.cases import CaseStore
from stopit_core.clock import Time
from stopit_core.errors import NotAllowed, Transient
from stopit_core.metrics import NotifierMetrics
from stopit_core.stores.ledger.sqlite import SqliteLedger
from stopit_core.stores.queue.sqlite import SqliteQueue
from stopit_notifier.gauges import Gauges
from stopit_notifier.stores import Stores


@dataclass
class Server:
    """The queue's server, which is asked for its settings."""

    faults: tuple[str, ...] = ()
    away: bool = False
    silent: bool = False
    asked: int = 0
    now: float = 0.0

    def ask(self) -> tuple[str, ...]:
        self.asked += 1
        if self.away:
            raise Transient("away")
        if self.silent:
            raise NotAllowed("no permissions to run 'config|get'")
        return self.faults


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CaseStore]:
    store = CaseStore(f"sqlite:///{tmp_path}/cases.db")
    store.migrate()
    yield store
    store.close()


def test_durability_is_checked_every_minute(store: CaseStore, tmp_path: Path) -> None:
    server = Server()
    queue = SqliteQueue(tmp_path / "queue.db", 3)
    metrics = NotifierMetrics(CollectorRegistry(), [], [], [])
    ledger = SqliteLedger(tmp_path / "ledger.db", 86400.0, lambda: server.now)
    stores = Stores(store, queue, ledger, queue_faults=server.ask)
    gauges = Gauges(stores, metrics, Time(clock=lambda: server.now, monotonic=lambda: server.now))

    def durable() -> float:
        value = metrics.registry.get_sample_value("stopit_queue_durable")
        assert value is not None
        return value

    assert isnan(durable())
    gauges.refresh()
    assert durable() == 1

    server.faults = ("appendfsync is everysec",)
    server.now = 30
    gauges.refresh()
    assert (durable(), server.asked) == (1, 1)
    server.now = 61
    gauges.refresh()
    assert (durable(), server.asked) == (0, 2)

    server.away = True
    server.now = 122
    gauges.refresh()
    assert (durable(), server.asked) == (0, 3)

    server.away, server.faults = False, ()
    server.now = 183
    gauges.refresh()
    assert durable() == 1
    server.silent = True
    server.now = 244
    gauges.refresh()
    assert durable() == 0, "nobody can tell"
    queue.close()
    ledger.close()
