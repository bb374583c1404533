"""The ledger in one SQLite file: for one mail host, with no server to run.

Rows are in the order of arrival; an index on the digest finds them, an index on the time expires them. (A table
ordered by digest would write a random page of payloads for each trace; the index writes only a page of digests.)
Commits are NORMAL: a power cut may lose the latest traces, which only means that staff decide.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from stopit_core.model import Digest, Trace
from stopit_core.stores.ledger import GRACE, MAX_PASSES, readable
from stopit_core.stores.sqlite_file import SqliteFile, Synchronous
from stopit_core.wire import encode_trace

__all__ = ["SqliteLedger"]

_VERSION = 1
_SCHEMA = (
    "CREATE TABLE trace (message BLOB NOT NULL, seen REAL NOT NULL, payload BLOB NOT NULL)",
    "CREATE INDEX trace_message ON trace (message)",
    "CREATE INDEX trace_seen ON trace (seen)",
    "CREATE TABLE watch (pair BLOB PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID",
)
_ROWS = 50
"""Number of passes of different messages in one statement: each statement releases and reacquires the interpreter's
lock, and a statement does not see its own rows."""


def _insert(rows: int) -> str:
    return (
        f"WITH new (message, seen, payload) AS (VALUES {', '.join(['(?, ?, ?)'] * rows)})"  # noqa: S608
        " INSERT INTO trace (message, seen, payload) SELECT message, seen, payload FROM new"
        f" WHERE (SELECT count(*) FROM trace WHERE trace.message = new.message) < {MAX_PASSES}"
        " AND NOT EXISTS"
        " (SELECT 1 FROM trace WHERE trace.message = new.message AND trace.payload = new.payload)"
    )


_INSERT_ROW = _insert(1)
_INSERT_ROWS = _insert(_ROWS)
_CHUNK = 1000
_CHUNKS = 20
"""`expire` removes at most this number of chunks in a call, and releases the lock after each."""


class SqliteLedger:
    """A `Ledger` in the file `path`, whose directory must exist. `retention` in seconds; `clock` since the epoch."""

    def __init__(self, path: Path, retention: float, clock: Callable[[], float] = time.time) -> None:
        self._file = SqliteFile(path, _SCHEMA, _VERSION, Synchronous.NORMAL)
        self._retention = retention
        self._clock = clock

    def write(self, traces: Sequence[Trace]) -> None:
        """Implement `Ledger.write`. All traces or none."""
        rows = [(trace.message, trace.seen, encode_trace(trace)) for trace in traces]
        with self._file.write() as db:
            for start in range(0, len(rows), _ROWS):
                some = rows[start : start + _ROWS]
                if len(some) == _ROWS == len({message for message, _, _ in some}):
                    db.execute(_INSERT_ROWS, [value for row in some for value in row])
                else:
                    db.executemany(_INSERT_ROW, some)

    def find(self, message: Digest) -> list[Trace]:
        """Implement `Ledger.find`."""
        with self._file.read() as db:
            rows = db.execute(
                "SELECT payload FROM trace WHERE message = ? AND seen > ? ORDER BY seen, rowid",
                (message, self._clock() - self._retention),
            ).fetchall()
        return list(readable(message, (payload for (payload,) in rows)))

    def watch(self, pair: Digest, until: float) -> None:
        """Implement `Ledger.watch`."""
        with self._file.write() as db:
            db.execute(
                "INSERT INTO watch (pair, until) VALUES (?, ?)"
                " ON CONFLICT (pair) DO UPDATE SET until = max(until, excluded.until)",
                (pair, until),
            )

    def watched(self, now: float) -> frozenset[Digest]:
        """Implement `Ledger.watched`."""
        with self._file.read() as db:
            return frozenset(Digest(pair) for (pair,) in db.execute("SELECT pair FROM watch WHERE until > ?", (now,)))

    def expire(self, now: float) -> int:
        """Implement `Ledger.expire`."""
        removed = 0
        for _ in range(_CHUNKS):
            with self._file.write() as db:
                chunk = db.execute(
                    "DELETE FROM trace WHERE rowid IN"
                    " (SELECT rowid FROM trace WHERE seen <= ? ORDER BY seen LIMIT ?)",
                    (now - self._retention - GRACE, _CHUNK),
                ).rowcount
            removed += chunk
            if chunk < _CHUNK:
                break
        with self._file.write() as db:
            db.execute("DELETE FROM watch WHERE until <= ?", (now - GRACE,))
        return removed

    def replication_id(self) -> str:
        """Implement `Ledger.replication_id`. Always "": a file has no replicas."""
        return ""

    def ping(self) -> None:
        """Implement `Ledger.ping`."""
        self._file.ping()

    def close(self) -> None:
        """Implement `Ledger.close`."""
        self._file.close()
