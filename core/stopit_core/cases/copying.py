"""Dump and load the case record as lines of JSON, for backups that are independent of the database.

The first line names the migration of the tables, so a newer version can load the dump of an older one: it creates the
old tables, fills them, and then migrates them. Every value is restored exactly, floats to the last bit, because the
history is a chain of hashes over them.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec
from sqlalchemy import Connection, LargeBinary, MetaData, Table, func, insert, inspect, select, text

from stopit_core.cases.schema import cases, metadata, revisions
from stopit_core.errors import DecodeError

__all__ = ["fill", "is_empty", "lines_of"]

_BATCH = 500


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line."""

    revision: str


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every other line. Bytes are encoded as base64."""

    table: str
    values: dict[str, Any]


_head = msgspec.json.Decoder(_Head)
_row = msgspec.json.Decoder(_Row)


def lines_of(connection: Connection) -> Iterator[bytes]:
    """Yield the record as lines, parents before the rows that refer to them."""
    revision = connection.execute(select(revisions.c.version_num)).scalar_one()
    yield msgspec.json.encode(_Head(revision))
    for table in metadata.sorted_tables:
        ordered = select(table).order_by(*table.primary_key.columns)
        rows = connection.execution_options(yield_per=_BATCH).execute(ordered)
        names = list(map(str, table.columns.keys()))  # plain str: SQLAlchemy has its own class for names
        for row in rows:
            yield msgspec.json.encode(_Row(str(table.name), dict(zip(names, row, strict=True))))


def is_empty(connection: Connection) -> bool:
    """Return whether the record has no case; true also if there are no tables yet."""
    if not inspect(connection).has_table(cases.name):
        return True
    return connection.execute(select(func.count()).select_from(cases)).scalar_one() == 0


def fill(connection: Connection, lines: Iterable[bytes], upgrade: Callable[[Connection, str], None]) -> Counter[str]:
    """Load the lines of `lines_of` into an empty record. Return the number of rows for each table.

    `upgrade(connection, revision)` creates the tables of a migration. Raises DecodeError if the lines are not such a
    dump.
    """
    left = iter(lines)
    try:
        head = _head.decode(next(left, b""))
    except msgspec.MsgspecError as error:
        raise DecodeError(f"the first line is not that of a case record: {error}") from error
    for table in reversed(metadata.sorted_tables):  # rows left by a notifier that ran briefly
        if inspect(connection).has_table(table.name):
            connection.execute(table.delete())
    if not inspect(connection).has_table(cases.name):
        upgrade(connection, head.revision)
    tables = MetaData()
    tables.reflect(connection)
    rows_by_table: Counter[str] = Counter()
    while batch := [_decoded(line) for line in islice(left, _BATCH)]:
        _insert(connection, tables, batch)
        rows_by_table.update(row.table for row in batch)
    if connection.dialect.name == "postgresql":
        _advance_sequences(connection, tables)
    return rows_by_table


def _decoded(line: bytes) -> _Row:
    try:
        return _row.decode(line)
    except msgspec.MsgspecError as error:
        raise DecodeError(f"a line of the case record is damaged: {error}") from error


def _insert(connection: Connection, tables: MetaData, batch: list[_Row]) -> None:
    """Insert the rows table by table, keeping the order of the tables."""
    while batch:
        name = batch[0].table
        if name not in tables.tables:
            raise DecodeError(f"the case record has no table {name}")
        table = tables.tables[name]
        same = [row for row in batch if row.table == name]
        connection.execute(insert(table), [_values(table, row) for row in same])
        batch = [row for row in batch if row.table != name]


def _values(table: Table, row: _Row) -> dict[str, Any]:
    if set(row.values) != set(table.columns.keys()):
        raise DecodeError(f"the columns of a row of {table.name} are not those of the table")
    return {
        name: base64.b64decode(value) if isinstance(table.c[name].type, LargeBinary) else value
        for name, value in row.values.items()
    }


def _advance_sequences(connection: Connection, tables: MetaData) -> None:
    """Set PostgreSQL's id sequences behind the inserted ids, which it did not assign itself."""
    for table in tables.tables.values():
        for column in table.primary_key.columns:
            sequence = connection.execute(select(func.pg_get_serial_sequence(table.name, column.name))).scalar()
            if sequence:
                top = connection.execute(select(func.coalesce(func.max(column), 0))).scalar_one()
                connection.execute(
                    text("SELECT setval(:name, :top, true)" if top else "SELECT setval(:name, 1, false)"),
                    {"name": sequence, **({"top": top} if top else {})},
                )
