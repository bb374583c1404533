"""One transaction on the case record in which reports are handled: its connection, buffer, history and locks.

Rows are buffered, and written together before they are read: `flushed_connection` writes them first. Use
`unflushed_connection` only for statements that do not read buffered tables. A lock lasts until the transaction ends,
so it is taken once: ten thousand reports of one sender cost no more for each than one report.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Connection, bindparam, select

from stopit_core.cases.event_log import EventLog
from stopit_core.cases.schema import parties, taken
from stopit_core.cases.write_buffer import WriteBuffer, insert_once

__all__ = ["CaseTransaction"]

_LOCK = (
    select(parties.c.address)
    .where(parties.c.address.in_(bindparam("senders", expanding=True)))
    .order_by(parties.c.address)
    .with_for_update()
)


class CaseTransaction:
    """A transaction on `unflushed_connection`, with the buffered rows and the history of its cases."""

    def __init__(self, connection: Connection, event_log: EventLog) -> None:
        self.unflushed_connection = connection
        """The connection, on which buffered rows cannot be read yet."""
        self._event_log = event_log
        self._buffer = WriteBuffer(connection)
        self._locked: set[str] = set()

    def flushed_connection(self) -> Connection:
        """Write the buffered rows, and return the connection, on which they can be read now."""
        self._buffer.flush()
        return self.unflushed_connection

    def flush(self) -> None:
        """Write the buffered rows. Called last before the commit."""
        self._buffer.flush()

    def take(self, report_id: str, now: float) -> bool:
        """Mark a report as handled by this transaction; return False if it was handled before."""
        return report_id in self.take_all([report_id], now)

    def take_all(self, report_ids: Sequence[str], now: float) -> set[str]:
        """Mark reports as handled by this transaction; return those that were not handled before."""
        statement = (
            insert_once(taken, self.unflushed_connection.dialect.name)
            .on_conflict_do_nothing()
            .returning(taken.c.report_id)
        )
        rows = self.flushed_connection().execute(statement, [{"report_id": each, "at": now} for each in report_ids])
        return set(rows.scalars())

    def lock(self, sender: str) -> None:
        """Lock a sender, so that no other process decides about it until the transaction ends."""
        self.lock_all([sender])

    def lock_all(self, senders: Collection[str]) -> None:
        """Lock several senders, always in the same order, so that two transactions cannot deadlock."""
        wanted = sorted(set(senders) - self._locked)
        if not wanted:
            return
        statement = insert_once(parties, self.unflushed_connection.dialect.name).on_conflict_do_nothing()
        self.unflushed_connection.execute(statement, [{"address": sender} for sender in wanted])
        self.unflushed_connection.execute(_LOCK, {"senders": wanted}).all()
        self._locked.update(wanted)
