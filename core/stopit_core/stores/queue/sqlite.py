"""The queue in one SQLite file: for one mail host, with no server to run.

A row without `claimed_at` is waiting; with it, it is claimed; with `buried_at` it is a dead letter. Triggers count
the rows of each state, because counting a million rows every few seconds would block the consumers. Commits are FULL:
an accepted report survives a power cut. A claim is one BEGIN IMMEDIATE transaction, so two consumers never get the
same row; a read without a lock first checks whether there is any row, because that is done many times a second.

The consumer that claims checks the lease, as in Redis: all consumers should use the same length. A claim that is
further than a lease in the future was made before the clock was set back, and counts as passed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from stopit_core.stores.queue import DeadLetter, Delivery, Depths, exhausted
from stopit_core.stores.sqlite_file import SqliteFile, Synchronous

__all__ = ["SqliteQueue"]

_VERSION = 2
_STATE = (
    "CASE WHEN {row}.buried_at NOTNULL THEN 'dead' WHEN {row}.claimed_at NOTNULL THEN 'claimed' ELSE 'waiting' END"
)
_MORE = f"UPDATE tally SET reports = reports + 1 WHERE state = {_STATE.format(row='NEW')};"  # noqa: S608
_LESS = f"UPDATE tally SET reports = reports - 1 WHERE state = {_STATE.format(row='OLD')};"  # noqa: S608
_SCHEMA = (
    """CREATE TABLE report (
        seq        INTEGER PRIMARY KEY AUTOINCREMENT, -- never reused, so an old acknowledgement matches no row
        report_id  TEXT NOT NULL UNIQUE,
        payload    BLOB NOT NULL,
        put_at     REAL NOT NULL,
        attempts   INTEGER NOT NULL DEFAULT 0,
        claimed_at REAL,
        claimed_by TEXT,
        buried_at  REAL,
        error      TEXT NOT NULL DEFAULT ''
    )""",
    "CREATE INDEX report_state ON report (buried_at, claimed_at)",
    "CREATE TABLE tally (state TEXT PRIMARY KEY, reports INTEGER NOT NULL) WITHOUT ROWID",
    "INSERT INTO tally VALUES ('waiting', 0), ('claimed', 0), ('dead', 0)",
    f"CREATE TRIGGER report_comes AFTER INSERT ON report BEGIN {_MORE} END",
    f"CREATE TRIGGER report_goes AFTER DELETE ON report BEGIN {_LESS} END",
    f"CREATE TRIGGER report_moves AFTER UPDATE OF buried_at, claimed_at ON report BEGIN {_LESS} {_MORE} END",
)
_FRESH = "buried_at IS NULL AND claimed_at IS NULL"
_PASSED = "buried_at IS NULL AND claimed_at IS NOT NULL AND NOT claimed_at BETWEEN :now - :lease AND :now + :lease"
_TAKE = "SELECT seq, payload, attempts, put_at FROM report WHERE "
_TAKE_FRESH = f"{_TAKE} {_FRESH} ORDER BY seq LIMIT :limit"
_TAKE_PASSED = f"{_TAKE} {_PASSED} ORDER BY seq LIMIT :limit"
_ANYTHING = f"SELECT EXISTS ({_TAKE} {_FRESH} UNION ALL {_TAKE} {_PASSED})"
_EXHAUST = f"UPDATE report SET buried_at = :now, error = :error WHERE {_PASSED} AND attempts >= :most"  # noqa: S608
_COUNTS = "SELECT state, reports FROM tally"
# The first waiting row in the index is the oldest; claimed rows are few.
_OLDEST = f"""SELECT min(put_at) FROM (
    SELECT * FROM (SELECT put_at FROM report WHERE {_FRESH} ORDER BY seq LIMIT 1)
    UNION ALL SELECT put_at FROM report WHERE buried_at IS NULL AND claimed_at IS NOT NULL
)"""  # noqa: S608
_POLL = 0.05
"""Seconds between two checks while waiting. A check is one read of the index."""


class SqliteQueue:
    """A `Queue` in the file `path`, whose directory must exist. `clock` returns seconds since the epoch."""

    def __init__(self, path: Path, max_attempts: int, clock: Callable[[], float] = time.time) -> None:
        self._file = SqliteFile(path, _SCHEMA, _VERSION, Synchronous.FULL)
        self._max_attempts = max_attempts
        self._clock = clock

    def put(self, report_id: str, payload: bytes) -> str:
        """Implement `Queue.put`. Does nothing while a report with this id is in the queue, including dead letters."""
        with self._file.write() as db:
            db.execute(
                "INSERT INTO report (report_id, payload, put_at) VALUES (?, ?, ?) ON CONFLICT (report_id) DO NOTHING",
                (report_id, payload, self._clock()),
            )
        return ""

    def replication_id(self) -> str:
        """Implement `Queue.replication_id`. Always "": a file has no replicas."""
        return ""

    def claim(
        self, consumer: str, limit: int, lease: float, wait: float = 0.0, again: int | None = None
    ) -> list[Delivery]:
        """Implement `Queue.claim`."""
        deadline = time.monotonic() + wait
        while True:
            deliveries = self._claim_now(consumer, limit, lease, limit if again is None else min(again, limit))
            remaining = deadline - time.monotonic()
            if deliveries or remaining <= 0:
                return deliveries
            time.sleep(min(_POLL, remaining))

    def ack(self, delivery_id: str) -> None:
        """Implement `Queue.ack`."""
        self.ack_all([delivery_id])

    def ack_all(self, delivery_ids: Sequence[str]) -> None:
        """Implement `Queue.ack_all`."""
        with self._file.write() as db:
            db.executemany(
                "DELETE FROM report WHERE seq = ? AND buried_at IS NULL", [(_seq(each),) for each in delivery_ids]
            )

    def bury(self, delivery_id: str, error: str) -> None:
        """Implement `Queue.bury`."""
        with self._file.write() as db:
            db.execute(
                "UPDATE report SET buried_at = ?, error = ? WHERE seq = ? AND buried_at IS NULL",
                (self._clock(), error, _seq(delivery_id)),
            )

    def waiting(self, limit: int) -> list[Delivery]:
        """Implement `Queue.waiting`."""
        with self._file.read() as db:
            rows = db.execute(
                "SELECT seq, payload, attempts, put_at FROM report WHERE buried_at IS NULL ORDER BY seq LIMIT ?",
                (limit,),
            ).fetchall()
        return [Delivery(str(seq), payload, attempts, put_at) for seq, payload, attempts, put_at in rows]

    def dead(self, limit: int) -> list[DeadLetter]:
        """Implement `Queue.dead`."""
        with self._file.read() as db:
            rows = db.execute(
                "SELECT seq, payload, attempts, put_at, buried_at, error FROM report"
                " WHERE buried_at IS NOT NULL ORDER BY seq LIMIT ?",
                (limit,),
            ).fetchall()
        return [DeadLetter(str(seq), *rest) for seq, *rest in rows]

    def retry(self, dead_id: str) -> bool:
        """Implement `Queue.retry`."""
        with self._file.write() as db:
            changed = db.execute(
                "UPDATE report SET attempts = 0, claimed_at = NULL, claimed_by = NULL, buried_at = NULL, error = ''"
                " WHERE seq = ? AND buried_at IS NOT NULL",
                (_seq(dead_id),),
            )
            return changed.rowcount == 1

    def drop(self, dead_id: str) -> bool:
        """Implement `Queue.drop`."""
        with self._file.write() as db:
            deleted = db.execute("DELETE FROM report WHERE seq = ? AND buried_at IS NOT NULL", (_seq(dead_id),))
            return deleted.rowcount == 1

    def depths(self) -> Depths:
        """Implement `Queue.depths`."""
        with self._file.read() as db:
            counts = dict(db.execute(_COUNTS))
            (oldest,) = db.execute(_OLDEST).fetchone()
        age = 0.0 if oldest is None else max(0.0, self._clock() - oldest)
        return Depths(counts["waiting"], counts["claimed"], counts["dead"], age)

    def ping(self) -> None:
        """Implement `Queue.ping`."""
        self._file.ping()

    def close(self) -> None:
        """Implement `Queue.close`."""
        self._file.close()

    def _claim_now(self, consumer: str, limit: int, lease: float, again: int) -> list[Delivery]:
        when = {"now": self._clock(), "lease": lease}
        with self._file.read() as db:
            if not db.execute(_ANYTHING, when).fetchone()[0]:
                return []
        with self._file.write() as db:
            db.execute(_EXHAUST, {**when, "error": exhausted(self._max_attempts), "most": self._max_attempts})
            rows = db.execute(_TAKE_PASSED, {**when, "limit": again}).fetchall()
            rows += db.execute(_TAKE_FRESH, {"limit": limit - len(rows)}).fetchall()
            db.executemany(
                "UPDATE report SET claimed_at = ?, claimed_by = ?, attempts = attempts + 1 WHERE seq = ?",
                [(when["now"], consumer, seq) for seq, *_ in rows],
            )
        return [Delivery(str(seq), payload, attempts + 1, put_at) for seq, payload, attempts, put_at in rows]


def _seq(delivery_id: str) -> int:
    """Return the row that an id names; 0, which is no row, if the id is not one of ours."""
    plain = delivery_id.isascii() and delivery_id.isdecimal() and len(delivery_id) < 19
    return int(delivery_id) if plain else 0
