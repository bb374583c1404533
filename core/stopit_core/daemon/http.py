"""The HTTP server of a daemon: metrics, liveness and readiness.

    /metrics   metrics for Prometheus
    /healthz   200 if the process answers at all
    /readyz    200 if the daemon would do its work now, else 503; one line for each check

The server does none of the daemon's work, and the daemon never waits for it: each request has its own thread. A
readiness check may take a second, so its result is reused for `FRESH` seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from socket import AF_INET, AF_INET6
from socketserver import TCPServer, ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import make_wsgi_app

from stopit_core.metrics import HttpMetrics

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["FRESH", "CheckResult", "Readiness", "application", "serve"]

FRESH = 1.0
"""Seconds for which a readiness result is reused."""
_SLOW_CLIENT = 10.0
_TEXT = ("Content-Type", "text/plain; charset=utf-8")


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The state of one thing that the work needs. `fault` is "" if it is in order. `needed`: the work cannot be done
    without it; otherwise the fault is only reported."""

    name: str
    fault: str = ""
    needed: bool = True

    def __str__(self) -> str:
        return f"{self.name}: {self.fault or 'ok'}"


class Readiness:
    """Checks what the work needs, at most once every `FRESH` seconds. Thread-safe."""

    def __init__(
        self, check: Callable[[], Sequence[CheckResult]], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._check = check
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._results: tuple[CheckResult, ...] = ()
        self._until = float("-inf")

    def results(self) -> tuple[CheckResult, ...]:
        """Return the results of the latest check, at most `FRESH` seconds old."""
        with self._lock:
            if self._monotonic() >= self._until:
                self._results = self._run_check()
                self._until = self._monotonic() + FRESH
            return self._results

    @property
    def ready(self) -> bool:
        """Return whether the work can be done now."""
        return is_ready(self.results())

    def _run_check(self) -> tuple[CheckResult, ...]:
        try:
            return tuple(self._check())
        except Exception as error:  # noqa: BLE001  a failing check is a result too
            return (CheckResult("readiness check", type(error).__name__),)


def is_ready(results: Iterable[CheckResult]) -> bool:
    """Return whether nothing that is needed has a fault."""
    return not any(result.fault and result.needed for result in results)


def application(metrics: HttpMetrics, readiness: Readiness) -> WSGIApplication:
    """Return a WSGI application (PEP 3333) with the three endpoints."""
    metrics_app = make_wsgi_app(metrics.registry)
    metrics.ready.set_function(lambda: float(readiness.ready))

    def respond_to(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/metrics":
                return metrics_app(environ, start)  # type: ignore[no-any-return]
            case "/healthz":
                return _respond(start, "200 OK", ["alive"])
            case "/readyz":
                results = readiness.results()
                if is_ready(results):
                    return _respond(start, "200 OK", ["ready", *map(str, results)])
                return _respond(start, "503 Service Unavailable", ["not ready", *map(str, results)])
            case _:
                return _respond(start, "404 Not Found", ["try /metrics, /healthz or /readyz"])

    return respond_to


def serve(address: str, metrics: HttpMetrics, readiness: Readiness) -> None:
    """Serve at "host:port" in separate threads. Raises OSError if the port is in use."""
    host, _, port = address.rpartition(":")
    server = _Server((host.strip("[]"), int(port)), _Handler)
    server.set_app(application(metrics, readiness))
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()


def _respond(start: StartResponse, status: str, lines: Sequence[str]) -> list[bytes]:
    start(status, [_TEXT, ("Cache-Control", "no-store")])
    return ["".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[WSGIRequestHandler]) -> None:
        self.address_family = AF_INET6 if ":" in address[0] else AF_INET
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Bind without the DNS lookup of HTTPServer, which could be slow."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def handle_error(self, *_: Any) -> None:
        """Ignore the error: the client disconnected or sent no request. Errors of the application are logged
        earlier."""


class _Handler(WSGIRequestHandler):
    timeout = _SLOW_CLIENT

    def log_message(self, *_: Any) -> None:
        """Log nothing: Prometheus sends a request every few seconds."""
