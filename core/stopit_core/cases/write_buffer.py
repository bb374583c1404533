"""Buffer the rows of one transaction, to write each kind of them in one statement.

A batch of reports writes hundreds of rows, and a statement for each row costs more than all decisions together.
Before these tables are read in the same transaction, the buffer must be flushed: use
`CaseTransaction.flushed_connection`.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Table, bindparam, insert, update
from sqlalchemy import case as sql_case

from stopit_core.cases.schema import messages, reports, watches
from stopit_core.model import Digest

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

__all__ = ["WriteBuffer", "insert_once"]

_ADD_REPORT = insert(reports)
_ADD_MESSAGE = insert(messages)
_JOIN = update(reports).where(reports.c.key == bindparam("report")).values(notice_id=bindparam("notice"))


class WriteBuffer:
    """The buffered rows of `reports`, `messages` and `watches` of a transaction on `connection`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._reports: dict[str, dict[str, object]] = {}
        self._messages: list[dict[str, object]] = []
        self._watches: list[dict[str, object]] = []

    def add_report(self, key: str, values: dict[str, object]) -> None:
        """Buffer a row of `reports`."""
        self._reports[key] = values

    def add_message(self, values: dict[str, object]) -> None:
        """Buffer a row of `messages`."""
        self._messages.append(values)

    def join_notice(self, key: str, notice_id: int) -> None:
        """Record that the report with this key, buffered or not, belongs to a notice that is written already."""
        if row := self._reports.get(key):
            row["notice_id"] = notice_id
        else:
            self._connection.execute(_JOIN, {"report": key, "notice": notice_id})

    def watch(self, pair: Digest, case_id: int, since: float, until: float) -> None:
        """Buffer a row of `watches`; for a pair that is watched already the later end counts."""
        self._watches.append(
            {
                "pair": bytes(pair),
                "case_id": case_id,
                "since": since,
                "until": until,
                "contacts": 0,
            }
        )

    def flush(self) -> None:
        """Write all buffered rows."""
        if self._messages:
            self._connection.execute(_ADD_MESSAGE, self._messages)
            self._messages = []
        if self._reports:
            self._connection.execute(_ADD_REPORT, list(self._reports.values()))
            self._reports = {}
        if self._watches:
            self._connection.execute(_watching(self._connection.dialect.name), self._watches)
            self._watches = []


def insert_once(table: Table, dialect: str) -> postgresql.Insert | sqlite.Insert:
    """Return an INSERT that supports ON CONFLICT, which both dialects have with the same syntax."""
    if dialect == "postgresql":
        from sqlalchemy.dialects import postgresql

        return postgresql.Insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.Insert(table)


@lru_cache
def _watching(dialect: str) -> postgresql.Insert | sqlite.Insert:
    statement = insert_once(watches, dialect)
    given = statement.excluded
    later = sql_case((given.until > watches.c.until, given.until), else_=watches.c.until)
    return statement.on_conflict_do_update(index_elements=["pair"], set_={"until": later, "case_id": given.case_id})
