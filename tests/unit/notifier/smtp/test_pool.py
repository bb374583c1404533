"""Batches on several clients: a client is used by one thread, whatever else is in flight."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from stopit_notifier.smtp.pool import ConnectionPool
from stopit_notifier.smtp.send_result import SENT, SendResult


class Client:
    """A client that records its threads, and how many used it at once."""

    def __init__(self) -> None:
        self.threads: set[int] = set()
        self.users = self.most = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self.threads.add(threading.get_ident())
            self.users += 1
            self.most = max(self.most, self.users)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.users -= 1

    def close(self) -> None:
        """Do nothing."""


def batch(first: int) -> Any:
    return [SimpleNamespace(id=number) for number in range(first, first + 12)]


def test_batches_in_flight_never_share_a_client() -> None:
    clients = [Client() for _ in range(4)]
    pool = ConnectionPool(clients)  # type: ignore[arg-type]

    def send(client: Any, messages: Iterator[Any]) -> Iterator[tuple[Any, SendResult]]:
        with client:
            for message in messages:
                time.sleep(0.002 * (1 + message.id % 4))  # so that some are done well before the others
                yield message, SENT

    in_flight = [pool.submit(batch(at), send) for at in (0, 100, 200)]
    sent = [sorted(message.id for message, _ in each.results()) for each in in_flight]
    pool.close()

    assert sent == [[message.id for message in batch(at)] for at in (0, 100, 200)]
    assert {client.most for client in clients} == {1}
    assert [len(client.threads) for client in clients] == [1] * 4


def test_exception_leaves_the_messages_in_hand_without_a_result_and_no_other() -> None:
    pool = ConnectionPool([Client()])  # type: ignore[list-item]
    broken = RuntimeError("broken")

    def send(_client: Any, messages: Iterator[Any]) -> Iterator[tuple[Any, SendResult]]:
        held = []
        for message in messages:
            held.append(message)
            if message.id == 3:
                raise broken
            if len(held) == 2:
                yield held.pop(0), SENT
        for message in held:
            yield message, SENT

    in_flight = pool.submit(batch(0), send)
    sent = sorted(message.id for message, _ in in_flight.results())
    pool.close()

    assert sent == [number for number in range(12) if number not in (2, 3)]
    assert in_flight.errors == [broken]
