"""stopitctl health: daemons that answer, daemons that do not, and another program at the port.

tests/integration/test_health.py asks real daemons.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from stopit_core.daemon.http import CheckResult, Readiness, serve
from stopit_core.metrics import HttpMetrics
from stopit_lab.ports import HOST, spare_ports

Host = Any  # tests/unit/ctl/conftest.py; a conftest cannot be imported

MILTER, NOTIFIER = "stopit-milter", "stopit-notifier"


def serve_readyz(*parts: CheckResult, host: str = HOST) -> str:
    (port,) = spare_ports(1)
    serve(f"{host}:{port}", HttpMetrics(CollectorRegistry()), Readiness(lambda: parts))
    return f"{host}:{port}"


@contextmanager
def _answering(text: bytes) -> Iterator[str]:
    """A server that sends this to each client; with b"" it sends nothing and stays connected."""
    with socket.create_server((HOST, 0)) as listener:
        held: list[socket.socket] = []

        def answer() -> None:
            while True:
                try:
                    end, _ = listener.accept()
                except OSError:
                    return
                held.append(end)
                if text:
                    end.recv(4096)
                    end.sendall(text)
                    end.close()

        threading.Thread(target=answer, daemon=True).start()
        yield f"{HOST}:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        for end in held:
            end.close()


def run(host: Host, milter: str, notifier: str, *arguments: str) -> tuple[int, str]:
    host.configure(milter={"metrics": milter}, notifier={"metrics": notifier})
    result = host.run("health", *arguments)
    return result.exit_code, result.output


def test_both_ready_and_what_is_not_needed_is_told(host: Host) -> None:
    milter = serve_readyz(CheckResult("queue", "redis is away", needed=False), CheckResult("spool"))
    assert run(host, milter, serve_readyz(CheckResult("loop"))) == (
        0,
        f"ok      {MILTER}: ready; queue: redis is away\nok      {NOTIFIER}: ready\n",
    )


def test_one_not_ready_and_only_the_one_that_was_asked_for_counts(host: Host) -> None:
    milter, notifier = (
        serve_readyz(CheckResult("queue")),
        serve_readyz(CheckResult("case record", "gone"), CheckResult("loop")),
    )
    assert run(host, milter, notifier) == (
        1,
        f"ok      {MILTER}: ready\nFAULT   {NOTIFIER}: not ready; case record: gone\n",
    )
    assert run(host, milter, notifier, "milter") == (0, f"ok      {MILTER}: ready\n")
    assert run(host, milter, notifier, "notifier", "notifier")[0] == 1


def test_nobody_is_there(host: Host) -> None:
    (port,) = spare_ports(1)
    code, said = run(host, f"{HOST}:{port}", serve_readyz())
    assert (code, said.splitlines()[0]) == (1, f"FAULT   {MILTER}: no answer at {HOST}:{port}: Connection refused")


@pytest.mark.parametrize("text", [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"220 smtp ESMTP\r\n"])
def test_something_else_has_the_port(host: Host, text: bytes) -> None:
    with _answering(text) as address:
        code, said = run(host, address, serve_readyz(), "milter")
    assert code == 1
    assert said.startswith(f"FAULT   {MILTER}: ")
    assert address in said


def test_a_server_that_sends_nothing_is_not_waited_for(host: Host) -> None:
    with _answering(b"") as address:
        code, said = run(host, address, serve_readyz(), "--timeout", "0.3")
    assert (code, said.splitlines()[0]) == (1, f"FAULT   {MILTER}: no answer at {address}: timed out")


def test_over_ipv6(host: Host) -> None:
    assert run(host, serve_readyz(CheckResult("queue"), host="[::1]"), serve_readyz(), "milter") == (
        0,
        f"ok      {MILTER}: ready\n",
    )
