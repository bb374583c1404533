"""The door at which a daemon is asked how it does, by HTTP: what it counts, whether it lives, whether it is ready.

    /metrics   what it counts, for Prometheus
    /healthz   200 as soon as the process answers at all
    /readyz    200 when it would do its work now, else 503; a line for each thing that was looked at

It never does work of the daemon's, and the daemon never waits for it: each answer comes from a thread of its own. A
look at what the work needs may take a second, so one answer serves all who ask within `FRESH` seconds.
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

__all__ = ["FRESH", "Part", "Readiness", "application", "serve"]

FRESH = 1.0
"""Seconds for which one look is good."""
_SLOW_CLIENT = 10.0
_TEXT = ("Content-Type", "text/plain; charset=utf-8")


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that the work needs. `fault`: what is wrong with it, "" when nothing is. `needed`: without it the
    work cannot be done; else the fault is only told."""

    name: str
    fault: str = ""
    needed: bool = True

    def __str__(self) -> str:
        return f"{self.name}: {self.fault or 'ok'}"


class Readiness:
    """Looks at what the work needs, no more often than every `FRESH` seconds. Any thread may ask."""

    def __init__(self, look: Callable[[], Sequence[Part]], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._look = look
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._parts: tuple[Part, ...] = ()
        self._until = float("-inf")

    def parts(self) -> tuple[Part, ...]:
        """What was found, not longer ago than `FRESH` seconds."""
        with self._lock:
            if self._monotonic() >= self._until:
                self._parts = self._found()
                self._until = self._monotonic() + FRESH
            return self._parts

    @property
    def ready(self) -> bool:
        """Whether the work would be done now."""
        return is_ready(self.parts())

    def _found(self) -> tuple[Part, ...]:
        try:
            return tuple(self._look())
        except Exception as error:  # noqa: BLE001  a look that fails is an answer too, and the asker needs one
            return (Part("the look itself", type(error).__name__),)


def is_ready(parts: Iterable[Part]) -> bool:
    """Whether nothing that is needed is at fault."""
    return not any(part.fault and part.needed for part in parts)


def application(metrics: HttpMetrics, readiness: Readiness) -> WSGIApplication:
    """The three answers as a WSGI application (PEP 3333)."""
    count = make_wsgi_app(metrics.registry)
    metrics.ready.set_function(lambda: float(readiness.ready))

    def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/metrics":
                return count(environ, start)  # type: ignore[no-any-return]
            case "/healthz":
                return _say(start, "200 OK", ["alive"])
            case "/readyz":
                parts = readiness.parts()
                if is_ready(parts):
                    return _say(start, "200 OK", ["ready", *map(str, parts)])
                return _say(start, "503 Service Unavailable", ["not ready", *map(str, parts)])
            case _:
                return _say(start, "404 Not Found", ["there are /metrics, /healthz and /readyz"])

    return answer


def serve(address: str, metrics: HttpMetrics, readiness: Readiness) -> None:
    """Answer at "host:port", from threads of their own. Raises OSError when the port is taken."""
    host, _, port = address.rpartition(":")
    server = _Server((host.strip("[]"), int(port)), _Handler)
    server.set_app(application(metrics, readiness))
    threading.Thread(target=server.serve_forever, name="door", daemon=True).start()


def _say(start: StartResponse, status: str, lines: Sequence[str]) -> list[bytes]:
    start(status, [_TEXT, ("Cache-Control", "no-store")])
    return ["".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[WSGIRequestHandler]) -> None:
        self.address_family = AF_INET6 if ":" in address[0] else AF_INET
        super().__init__(address, handler)

    def server_bind(self) -> None:
        """Without the look into the DNS that HTTPServer takes: a start must not wait for that."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
        self.setup_environ()

    def handle_error(self, *_: Any) -> None:
        """Nothing: it is the client that went away, or sent no request. What the answers raise is logged before."""


class _Handler(WSGIRequestHandler):
    timeout = _SLOW_CLIENT

    def log_message(self, *_: Any) -> None:
        """Nothing: Prometheus asks every few seconds."""
