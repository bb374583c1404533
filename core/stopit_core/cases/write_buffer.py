"""Rows that one transaction keeps back, to write each kind of them in one statement.

A lot of reports writes hundreds of rows, and a statement for each costs more than all that is decided. Whoever reads
these tables in the same transaction must have them written down first: see `Work.connection`.
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
    """The reports, messages and watches that a transaction on `connection` has still to write."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._reports: dict[str, dict[str, object]] = {}
        self._messages: list[dict[str, object]] = []
        self._watches: list[dict[str, object]] = []

    def add_report(self, key: str, values: dict[str, object]) -> None:
        """A row of `reports`."""
        self._reports[key] = values

    def add_message(self, values: dict[str, object]) -> None:
        """A row of `messages`."""
        self._messages.append(values)

    def join_notice(self, key: str, notice_id: int) -> None:
        """The report of this key, kept back or not, counts on a notice that is written."""
        if row := self._reports.get(key):
            row["notice_id"] = notice_id
        else:
            self._connection.execute(_JOIN, {"report": key, "notice": notice_id})

    def watch(self, pair: Digest, case_id: int, since: float, until: float) -> None:
        """A row of `watches`; of a pair that is watched already the later end holds."""
        self._watches.append(
            {
                "pair": bytes(pair),
                "case_id": case_id,
                "since": since,
                "until": until,
                "contacts": 0,
            }
        )

    def write_down(self) -> None:
        """Write all of it."""
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
    """An INSERT that can say ON CONFLICT, which both dialects spell in the same way."""
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
