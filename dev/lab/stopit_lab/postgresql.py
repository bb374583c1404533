"""A private PostgreSQL cluster: its own directory, one port at 127.0.0.1, and new databases on request.

PostgreSQL refuses to run as root; started by root, it runs as user `postgres`, who owns the directory.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg

from stopit_lab.ports import HOST, spare_ports
from stopit_lab.waiting import until

__all__ = ["PostgreSql"]

_ROLE = "postgres"
_START = 30.0
_BINARIES = Path("/usr/lib/postgresql")
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "shared_buffers": "16MB",
    "max_connections": "40",
    "deadlock_timeout": "200ms",
    "fsync": "off",  # a server that is killed loses nothing by it; a host without power would
}


class PostgreSql:
    """A cluster. Its data outlives `stop` and `kill`; `close` removes it."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="stopit-postgresql-"))
        (self.port,) = spare_ports(1)
        self._data = self.directory / "data"
        self._numbers = itertools.count(1)
        self._emptied: list[str] = []
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def installed() -> bool:
        """Return whether this machine has a PostgreSQL server, and runuser(1) if root runs it."""
        return _binaries() is not None and (os.geteuid() != 0 or shutil.which("runuser") is not None)

    def url(self, database: str = _ROLE) -> str:
        """Return the URL of a database for `[cases] url`."""
        return f"postgresql+psycopg://{_ROLE}@{HOST}:{self.port}/{database}"

    def new_database(self) -> str:
        """Return the URL of an empty database."""
        if self._emptied:
            return self.url(self._emptied.pop())
        name = f"stopit{next(self._numbers)}"
        with self._connect() as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self.url(name)

    def empty(self, url: str) -> None:
        """Take back a database of `new_database`, and empty it: to make one takes the time of many tests."""
        name = url.rpartition("/")[2]
        with self._connect(name) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        self._emptied.append(name)

    def start(self) -> Self:
        """Create the cluster if there is none, start it, and return when it answers."""
        if not self._data.exists():
            self._initialise()
        if self._process is None:
            settings = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
            command = [_binary("postgres"), "-D", str(self._data), "-p", str(self.port), *settings]
            with (self.directory / "postgresql.log").open("ab") as log:
                self._process = subprocess.Popen(
                    _as_role(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory
                )
        until(self._answers, f"an answer of PostgreSQL in {self.directory}", _START)
        return self

    def stop(self) -> None:
        """End it in order, whatever is connected."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End it at once, like a crash: the next start recovers from the log (immediate shutdown)."""
        self._end(signal.SIGQUIT)

    def close(self) -> None:
        """Kill it, and remove its directory."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _initialise(self) -> None:
        if os.geteuid() == 0:
            shutil.chown(self.directory, _ROLE)
        command = [
            _binary("initdb"),
            "-D",
            str(self._data),
            "-U",
            _ROLE,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "-N",
        ]
        subprocess.run(_as_role(command), check=True, capture_output=True, cwd=self.directory)

    def _connect(self, database: str = _ROLE) -> psycopg.Connection:
        return psycopg.connect(
            host=HOST, port=self.port, user=_ROLE, dbname=database, autocommit=True, connect_timeout=2
        )

    def _answers(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"PostgreSQL ended:\n{(self.directory / 'postgresql.log').read_text()}")
        try:
            with self._connect():
                return True
        except psycopg.OperationalError:
            return False

    def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        # The server itself, not the runuser around it, which passes on only SIGTERM.
        server = int((self._data / "postmaster.pid").read_text().splitlines()[0])
        os.kill(server, number)
        process.wait(_START)


def _binaries() -> Path | None:
    """Return the directory of the newest version's programs, which Debian does not put on the PATH."""
    found = sorted(_BINARIES.glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def _binary(name: str) -> str:
    directory = _binaries()
    if directory is None:
        raise RuntimeError(f"there is no PostgreSQL below {_BINARIES}")
    return str(directory / name)


def _as_role(command: list[str]) -> list[str]:
    return ["runuser", "-u", _ROLE, "--", *command] if os.geteuid() == 0 else command
