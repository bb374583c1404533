"""Lots that are carried by several clients: a client is for one thread, whatever else is under way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from stopit_notifier.smtp.pool import ConnectionPool


class Line:
    """A client that notes who uses it, and whether two did at once."""

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
        """Nothing to close."""


def batch(first: int) -> Any:
    return [SimpleNamespace(id=number) for number in range(first, first + 12)]


def test_two_lots_under_way_never_share_a_mailer() -> None:
    lines = [Line() for _ in range(4)]
    pool = ConnectionPool(lines)  # type: ignore[arg-type]

    def send(line: Any, messages: Iterator[Any]) -> Iterator[tuple[Any, bool]]:
        with line:
            for message in messages:
                time.sleep(0.002 * (1 + message.id % 4))  # so that some end their share well before the others
                yield message, True

    in_flight = [pool.submit(batch(at), send) for at in (0, 100, 200)]
    ended = [sorted(message.id for message, _ in batch.ends()) for batch in in_flight]
    pool.close()

    assert ended == [[message.id for message in batch(at)] for at in (0, 100, 200)]
    assert {line.most for line in lines} == {1}
    assert [len(line.threads) for line in lines] == [1] * 4


def test_what_is_raised_is_the_end_of_what_was_in_hand_and_of_no_other() -> None:
    pool = ConnectionPool([Line()])  # type: ignore[list-item]
    broken = RuntimeError("broken")

    def send(_line: Any, messages: Iterator[Any]) -> Iterator[tuple[Any, bool]]:
        held = []
        for message in messages:
            held.append(message)
            if message.id == 3:
                raise broken
            if len(held) == 2:
                yield held.pop(0), True
        for message in held:
            yield message, True

    ended = {message.id: end for message, end in pool.submit(batch(0), send).ends()}
    pool.close()

    assert sorted(ended) == list(range(12))
    assert {number for number, end in ended.items() if end is broken} == {2, 3}
