"""A private redis-server: its own directory, a Unix socket, and the recommended durability.

Tests kill it, freeze it, and start it again on the same data.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from stopit_lab.ports import HOST
from stopit_lab.waiting import until

__all__ = ["Redis"]

_START = 10.0


class Redis:
    """A server. Its data outlives `stop` and `kill`; `close` removes it.

    `directory` is an existing one for the data (the path of a Unix socket must be shorter than 108 bytes), else a new
    one below /tmp. `port` adds a TCP port at 127.0.0.1. `settings` are lines of redis.conf that add to or replace the
    lab's.
    """

    def __init__(
        self, directory: Path | None = None, port: int = 0, settings: Mapping[str, str] | None = None
    ) -> None:
        self._own = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="stopit-redis-"))
        self.socket = self.directory / "redis.sock"
        self._port = port
        self._settings = dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The store URL for the configuration, by the Unix socket."""
        return f"unix://{self.socket}"

    @property
    def tcp_url(self) -> str:
        """The store URL by TCP, if a port was given."""
        return f"redis://{HOST}:{self._port}/0"

    def start(self) -> Self:
        """Start it, or thaw it if it runs, and return when it answers."""
        if self._process is None or self._process.poll() is not None:
            self.socket.unlink(missing_ok=True)
            self._process = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        else:
            self.thaw()
        until(self._answers, f"an answer of redis-server in {self.directory}", _START)
        return self

    def stop(self) -> None:
        """End it in order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Send SIGSTOP: the kernel accepts connections, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Send SIGCONT."""
        self._signal(signal.SIGCONT)

    def wipe(self) -> None:
        """Remove all data (FLUSHALL)."""
        with redis.Redis.from_url(self.url) as client:
            client.flushall()

    def close(self) -> None:
        """Kill it, and remove the directory that it created."""
        self.kill()
        if self._own:
            shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _command(self) -> list[str]:
        settings = {
            "port": str(self._port),
            "bind": HOST,
            "unixsocket": str(self.socket),
            "unixsocketperm": "770",
            "dir": str(self.directory),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",
            "maxmemory-policy": "noeviction",
            "hash-max-listpack-value": "256",
            "daemonize": "no",
            "loglevel": "warning",
            "logfile": str(self.directory / "redis.log"),
        }
        lines = {**settings, **self._settings}.items()
        return ["redis-server", *(word for name, value in lines for word in (f"--{name}", *value.split(" ")))]

    def _answers(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"redis-server ended; see {self.directory / 'redis.log'}")
        try:
            with redis.Redis.from_url(self.url, socket_timeout=1.0) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        self.thaw()
        self._signal(number)
        if self._process is not None:
            self._process.wait(_START)
            self._process = None
