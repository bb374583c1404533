"""One SQLite file that several threads and several daemons share; the stores on it contain only their statements.

One connection behind a lock, not one for each call: opening reads the schema, and closing the last connection writes
the whole WAL back. The lock is held for one transaction, never across calls, and a thread waits for it no longer than
for the file itself. The connection is opened on first use, so creating a store does no I/O and a worker may be forked
in between; the connection must not be used before the fork. After any error it is closed, and if the file was deleted
or replaced, it is opened again: nothing is written to a deleted file.

New files are created with mode 0660 less the umask, because two daemons of one group share them; SQLite gives -wal
and -shm the same mode.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path

from stopit_core.errors import Transient

__all__ = ["SqliteFile", "Synchronous", "enter_wal"]

_MODE = 0o660
_BUSY_TIMEOUT = 1.0
"""Seconds to wait for another process, and for another thread."""
_RETRY_PAUSE = 0.01


class Synchronous(StrEnum):
    """The durability of a commit (measured, in WAL): FULL survives a power cut, NORMAL a crash of the process."""

    FULL = "FULL"
    NORMAL = "NORMAL"


class SqliteFile:
    """Transactions on one database file. Every failure of SQLite or of the disk is a Transient that names the file.

    `schema`: statements that turn an empty file into a store of `version`; a file of another version is refused.
    """

    def __init__(self, path: Path, schema: Sequence[str], version: int, synchronous: Synchronous) -> None:
        self._path = path
        self._schema = tuple(schema)
        self._version = version
        self._synchronous = synchronous
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection for reading. Each statement sees the latest commit."""
        with self._exclusive() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Yield a connection inside BEGIN IMMEDIATE; commit at the end, roll back on any error.

        IMMEDIATE, because a transaction that first reads and then writes fails at once with BUSY, whatever the busy
        time-out.
        """
        with self._exclusive() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    with suppress(sqlite3.Error):
                        connection.execute("ROLLBACK")
                raise

    def ping(self) -> None:
        """Return if the file can be read and written: a full disk is noticed only by a write."""
        with self.write() as connection:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            connection.execute(f"PRAGMA user_version = {self._version}")  # the value that it has already

    def close(self) -> None:
        """Close the connection as soon as no other thread uses it."""
        with self._lock:
            self._discard()

    @contextmanager
    def _exclusive(self) -> Iterator[sqlite3.Connection]:
        if not self._lock.acquire(timeout=_BUSY_TIMEOUT):
            raise Transient(f"sqlite {self._path}: other threads used it for {_BUSY_TIMEOUT:g} s")
        try:
            yield self._current()
        except (sqlite3.Error, OSError) as error:
            self._discard()
            raise Transient(f"sqlite {self._path}: {error}") from error
        finally:
            self._lock.release()

    def _current(self) -> sqlite3.Connection:
        if self._connection is not None and self._identity == self._identity_on_disk():
            return self._connection
        self._discard()
        # mknod, not open: closing a descriptor would drop the locks that this process holds on the file.
        with suppress(FileExistsError):
            os.mknod(self._path, stat.S_IFREG | _MODE)
        connection = sqlite3.connect(self._path, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection, self._identity = connection, self._identity_on_disk()
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        enter_wal(connection, _BUSY_TIMEOUT)
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        if self._read_version(connection) == self._version:
            return
        connection.execute("BEGIN IMMEDIATE")
        found = self._read_version(connection)
        if found not in (0, self._version):
            raise Transient(f"sqlite {self._path}: was created by another version of Stopit ({found})")
        if found == 0:
            for statement in self._schema:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {self._version}")
        connection.execute("COMMIT")

    @staticmethod
    def _read_version(connection: sqlite3.Connection) -> int:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])

    def _identity_on_disk(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return None
        return status.st_dev, status.st_ino

    def _discard(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()


def enter_wal(connection: sqlite3.Connection, busy_timeout: float) -> None:
    """Switch to WAL. If two processes do so on a new file at once, SQLite refuses one in spite of its busy time-out,
    so the switch is retried here for `busy_timeout` seconds. Raises sqlite3.OperationalError if that was not
    enough."""
    deadline = time.monotonic() + busy_timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").close()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(_RETRY_PAUSE)
