"""The door by itself: what it answers, for how long a look is good, and that a look that fails is an answer too."""

from __future__ import annotations

import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from prometheus_client import CollectorRegistry

from stopit_core.daemon.http import FRESH, Part, Readiness, serve
from stopit_core.metrics import HttpMetrics
from stopit_lab.ports import HOST, spare_ports


@dataclass
class Work:
    """What a daemon's work needs, as a test would have it."""

    parts: list[Part] = field(default_factory=lambda: [Part("queue")])
    looks: int = 0
    now: float = 0.0
    fault: Exception | None = None

    def look(self) -> list[Part]:
        self.looks += 1
        if self.fault:
            raise self.fault
        return self.parts


class Door:
    """One that is open."""

    def __init__(self, work: Work) -> None:
        (self.port,) = spare_ports(1)
        self.metrics = HttpMetrics(CollectorRegistry())
        serve(f"{HOST}:{self.port}", self.metrics, Readiness(work.look, lambda: work.now))

    def ask(self, path: str, method: str = "GET") -> tuple[int, str]:
        request = urllib.request.Request(f"http://{HOST}:{self.port}{path}", method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as page:
                return page.status, page.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


@pytest.fixture
def work() -> Work:
    return Work()


@pytest.fixture
def door(work: Work) -> Iterator[Door]:
    return Door(work)


def test_what_is_needed_decides_and_the_rest_is_told(work: Work, door: Door) -> None:
    assert door.ask("/readyz") == (200, "ready\nqueue: ok\n")

    work.parts = [Part("queue", "is away", needed=False), Part("spool")]
    work.now += FRESH
    assert door.ask("/readyz") == (200, "ready\nqueue: is away\nspool: ok\n")

    work.parts = [Part("queue", "is away"), Part("spool", "is full")]
    work.now += FRESH
    assert door.ask("/readyz") == (503, "not ready\nqueue: is away\nspool: is full\n")
    assert door.ask("/healthz") == (200, "alive\n")


def test_one_look_serves_all_who_ask_within_its_time(work: Work, door: Door) -> None:
    for _ in range(3):
        door.ask("/readyz")
        door.ask("/metrics")
    assert work.looks == 1

    work.now += FRESH
    door.ask("/metrics")
    assert work.looks == 2


def test_a_look_that_fails_is_no_readiness(work: Work, door: Door) -> None:
    work.fault = ZeroDivisionError("vera@campus.example")
    assert door.ask("/readyz") == (503, "not ready\nreadiness check: ZeroDivisionError\n")
    assert "\nstopit_ready 0.0\n" in door.ask("/metrics")[1]


def test_other_pages_and_other_methods(door: Door) -> None:
    assert door.ask("/")[0] == 404
    assert door.ask("/metrics", "POST")[0] == 405


def test_who_says_nothing_holds_up_nobody(door: Door) -> None:
    silent = [socket.create_connection((HOST, door.port)) for _ in range(20)]
    began = time.monotonic()
    assert door.ask("/healthz")[0] == 200
    assert time.monotonic() - began < 5
    for each in silent:
        each.close()


def test_many_ask_at_once(work: Work, door: Door) -> None:
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(door.ask("/readyz")[0])) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 20
    assert work.looks == 1


def test_a_port_that_is_taken(work: Work, door: Door) -> None:
    with pytest.raises(OSError, match="in use"):
        serve(f"{HOST}:{door.port}", HttpMetrics(CollectorRegistry()), Readiness(work.look))
