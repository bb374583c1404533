"""The HTTP server of a daemon: its answers, the reuse of a readiness result, and a check that raises."""

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

from stopit_core.daemon.http import FRESH, CheckResult, Readiness, serve
from stopit_core.metrics import HttpMetrics
from stopit_lab.ports import HOST, spare_ports


@dataclass
class Work:
    """The results of a readiness check, set by the test."""

    results: list[CheckResult] = field(default_factory=lambda: [CheckResult("queue")])
    looks: int = 0
    now: float = 0.0
    fault: Exception | None = None

    def look(self) -> list[CheckResult]:
        self.looks += 1
        if self.fault:
            raise self.fault
        return self.results


class Server:
    """A running server."""

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
def server(work: Work) -> Iterator[Server]:
    return Server(work)


def test_only_needed_parts_decide_and_all_are_listed(work: Work, server: Server) -> None:
    assert server.ask("/readyz") == (200, "ready\nqueue: ok\n")

    work.results = [CheckResult("queue", "is away", needed=False), CheckResult("spool")]
    work.now += FRESH
    assert server.ask("/readyz") == (200, "ready\nqueue: is away\nspool: ok\n")

    work.results = [CheckResult("queue", "is away"), CheckResult("spool", "is full")]
    work.now += FRESH
    assert server.ask("/readyz") == (503, "not ready\nqueue: is away\nspool: is full\n")
    assert server.ask("/healthz") == (200, "alive\n")


def test_one_check_serves_all_requests_within_its_time(work: Work, server: Server) -> None:
    for _ in range(3):
        server.ask("/readyz")
        server.ask("/metrics")
    assert work.looks == 1

    work.now += FRESH
    server.ask("/metrics")
    assert work.looks == 2


def test_a_check_that_raises_is_not_ready(work: Work, server: Server) -> None:
    work.fault = ZeroDivisionError("vera@campus.example")
    assert server.ask("/readyz") == (503, "not ready\nreadiness check: ZeroDivisionError\n")
    assert "\nstopit_ready 0.0\n" in server.ask("/metrics")[1]


def test_other_pages_and_other_methods(server: Server) -> None:
    assert server.ask("/")[0] == 404
    assert server.ask("/metrics", "POST")[0] == 405


def test_silent_clients_delay_nobody(server: Server) -> None:
    silent = [socket.create_connection((HOST, server.port)) for _ in range(20)]
    began = time.monotonic()
    assert server.ask("/healthz")[0] == 200
    assert time.monotonic() - began < 5
    for each in silent:
        each.close()


def test_many_requests_at_once(work: Work, server: Server) -> None:
    answers: list[int] = []
    threads = [threading.Thread(target=lambda: answers.append(server.ask("/readyz")[0])) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 20
    assert work.looks == 1


def test_a_port_that_is_taken(work: Work, server: Server) -> None:
    with pytest.raises(OSError, match="in use"):
        serve(f"{HOST}:{server.port}", HttpMetrics(CollectorRegistry()), Readiness(work.look))
