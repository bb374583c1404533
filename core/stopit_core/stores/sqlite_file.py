"""One SQLite file that several threads and several daemons share; the stores on it hold only their statements.

One connection behind a lock, not one for each call: opening costs a read of the schema, and the last connection
that closes writes the whole WAL back. The lock is held for one transaction, never across calls, and is waited for
no longer than the file itself. The connection is opened on first use, so that making a store does no I/O and a
worker may be forked between the two; it must not be used before the fork. After any error it is thrown away, and
when the file was deleted or replaced under it, it is opened anew: nothing is written to a file without a name.

New files are made 0660 less the umask, because two daemons of one group share them; SQLite gives -wal and -shm the
same mode.
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
_PAUSE = 0.01


class Synchronous(StrEnum):
    """What a commit survives (measured, in WAL): FULL a power cut, NORMAL a crash of the process."""

    FULL = "FULL"
    NORMAL = "NORMAL"


class SqliteFile:
    """Transactions on one database file. Every failure of SQLite or of the disk is a Transient that names the file.

    `schema`: statements that make an empty file a store of `version`; a file of another version is refused.
    `busy_timeout`: seconds to wait for another process, and for another thread.
    """

    def __init__(
        self, path: Path, schema: Sequence[str], version: int, synchronous: Synchronous, busy_timeout: float = 1.0
    ) -> None:
        self._path = path
        self._schema = tuple(schema)
        self._version = version
        self._synchronous = synchronous
        self._busy_timeout = busy_timeout
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection to look with. Each statement sees the last commit."""
        with self._exclusive() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """A connection inside BEGIN IMMEDIATE; committed at the end, rolled back on any error.

        IMMEDIATE, because a transaction that reads first and then writes fails at once with BUSY, whatever the
        busy time-out.
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
        """Return when the file can be read and written: a full disk shows only when something is written."""
        with self.write() as connection:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            connection.execute(f"PRAGMA user_version = {self._version}")  # what it is already

    def close(self) -> None:
        """Close the connection, once no other thread uses it."""
        with self._lock:
            self._discard()

    @contextmanager
    def _exclusive(self) -> Iterator[sqlite3.Connection]:
        if not self._lock.acquire(timeout=self._busy_timeout):
            raise Transient(f"sqlite {self._path}: other threads held it for {self._busy_timeout:g} s")
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
        connection = sqlite3.connect(
            self._path, timeout=self._busy_timeout, isolation_level=None, check_same_thread=False
        )
        try:
            self._prepare(connection)
        except BaseException:
            connection.close()
            raise
        self._connection, self._identity = connection, self._identity_on_disk()
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        enter_wal(connection, self._busy_timeout)
        connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        if self._found_version(connection) == self._version:
            return
        connection.execute("BEGIN IMMEDIATE")
        found = self._found_version(connection)
        if found not in (0, self._version):
            raise Transient(f"sqlite {self._path}: was made by another version of Stopit ({found})")
        if found == 0:
            for statement in self._schema:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {self._version}")
        connection.execute("COMMIT")

    @staticmethod
    def _found_version(connection: sqlite3.Connection) -> int:
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
    """Switch to WAL. Of two that do so on a new file at once, one is refused in spite of SQLite's busy time-out, so
    it is tried again here for `busy_timeout` seconds. Raises sqlite3.OperationalError when that was not enough."""
    deadline = time.monotonic() + busy_timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").close()
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE)
