"""A Redis service as on three hosts: a master, replicas, and three Sentinels, at 127.0.0.1.

A failover takes a second or two instead of Sentinel's default of half a minute. The Sentinels take no part in
writing, so for all clients, killing or freezing `master` is a dead or a stalled host.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from stopit_lab.ports import HOST, spare_ports
from stopit_lab.redis import Redis
from stopit_lab.waiting import until

__all__ = ["RedisService", "Sentinel"]

_START = 10.0
_FAILOVER = 60.0
_SETTINGS = """\
port {port}
bind {host}
dir {directory}
daemonize no
logfile {directory}/sentinel.log
sentinel monitor {service} {host} {master} 2
sentinel down-after-milliseconds {service} {down_after}
sentinel failover-timeout {service} 5000
sentinel parallel-syncs {service} 1
"""


class Sentinel:
    """A Sentinel. It writes its state to its own configuration file, as a real one does."""

    def __init__(self, directory: Path, settings: str, port: int) -> None:
        self.directory = directory
        self.port = port
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return when it answers."""
        self.directory.mkdir(exist_ok=True)
        file = self.directory / "sentinel.conf"
        if not file.exists():
            file.write_text(self._settings)
        command = ["redis-sentinel", str(file)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        until(self._answers, f"an answer of the Sentinel in {self.directory}", _START)

    def freeze(self) -> None:
        """Send SIGSTOP."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Send SIGCONT."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """Send SIGKILL."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(_START)
            self._process = None

    def client(self) -> redis.Redis:
        """Return a new client."""
        return redis.Redis(HOST, self.port, socket_timeout=1.0)

    def log_text(self) -> str:
        """Return its log."""
        log = self.directory / "sentinel.log"
        return log.read_text("utf-8", "replace") if log.exists() else ""

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)


class RedisService:
    """`servers` Redis servers, of which the first is the initial master, and three Sentinels.

    `directory` is an existing one for all data, else a new one below /tmp. `down_after` in milliseconds.
    """

    name = "stopit"

    def __init__(self, directory: Path | None = None, servers: int = 3, down_after: int = 1000) -> None:
        self._own = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="stopit-redis-"))
        ports = spare_ports(servers + 3)
        self._down_after = down_after
        self.servers = [self._server(number, ports[number], ports[0]) for number in range(servers)]
        self.sentinels = [self._sentinel(number, port, ports[0]) for number, port in enumerate(ports[servers:])]
        self._by_port = dict(zip(ports, self.servers, strict=False))

    @property
    def url(self) -> str:
        """The store URL for the configuration."""
        places = ",".join(f"{HOST}:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{places}/{self.name}"

    def start(self) -> Self:
        """Start everything, and return when the replicas follow and the Sentinels know each other."""
        for server in self.servers:
            server.directory.mkdir(exist_ok=True)
            server.start()
        until(self._all_follow, "replicas that follow", _START)
        for sentinel in self.sentinels:
            sentinel.start()
        for sentinel in self.sentinels:
            until(partial(self._knows_all, sentinel), "Sentinels that know of each other", _FAILOVER)
        return self

    def master(self) -> Redis:
        """Return the current master, by the answer of a majority of the Sentinels."""
        return until(self._master_now, "a master that the Sentinels agree on", _FAILOVER)

    def wait_for_another(self, than: Redis) -> Redis:
        """Return the next master, as soon as a majority of the Sentinels names another one than this."""

        def another() -> Redis | None:
            found = self._master_now()
            return found if found is not than else None

        return until(another, "another master", _FAILOVER)

    def close(self) -> None:
        """Kill everything, and remove the directory that it created."""
        for sentinel in self.sentinels:
            sentinel.kill()
        for server in self.servers:
            server.close()
        if self._own:
            shutil.rmtree(self.directory, ignore_errors=True)

    def log_text(self) -> str:
        """Return the log of the first Sentinel."""
        return self.sentinels[0].log_text()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _server(self, number: int, port: int, master: int) -> Redis:
        settings = {
            "min-replicas-to-write": "1",
            "min-replicas-max-lag": "10",
            "repl-ping-replica-period": "1",
            "repl-diskless-sync-delay": "0",
        }
        if number:
            settings["replicaof"] = f"{HOST} {master}"
        return Redis(self.directory / f"redis-{number}", port, settings)

    def _sentinel(self, number: int, port: int, master: int) -> Sentinel:
        directory = self.directory / f"sentinel-{number}"
        settings = _SETTINGS.format(
            port=port, host=HOST, directory=directory, service=self.name, master=master, down_after=self._down_after
        )
        return Sentinel(directory, settings, port)

    def _all_follow(self) -> bool:
        with redis.Redis.from_url(self.servers[0].url) as client:
            found = client.info("replication")
        states = [found[f"slave{number}"]["state"] for number in range(int(found["connected_slaves"]))]
        return states.count("online") == len(self.servers) - 1

    def _knows_all(self, sentinel: Sentinel) -> bool:
        with sentinel.client() as client:
            state = client.sentinel_master(self.name)
        known = (state["num-other-sentinels"], state["num-slaves"]) if isinstance(state, dict) else ()
        return known == (len(self.sentinels) - 1, len(self.servers) - 1)

    def _master_now(self) -> Redis | None:
        named: list[int] = []
        for sentinel in self.sentinels:
            try:
                with sentinel.client() as client:
                    address = client.sentinel_get_master_addr_by_name(self.name)
            except redis.RedisError:
                continue
            if isinstance(address, tuple):
                named.append(int(address[1]))
        for port in set(named):
            if 2 * named.count(port) > len(self.sentinels):
                return self._by_port[port]
        return None
