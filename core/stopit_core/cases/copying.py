"""The case record as lines of JSON, and back: what a backup holds, whichever database it was in or goes into.

The first line says which migration the tables had, so that a record of an older version can be put back by a newer
one: its tables are made as they were, filled, and then brought up to date. Every value comes back as it was, floats
to the last bit, because the history is chained by hashes over them.
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

_LOT = 500


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The first line."""

    revision: str


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Every other line. Bytes stand as base64."""

    table: str
    values: dict[str, Any]


_head = msgspec.json.Decoder(_Head)
_row = msgspec.json.Decoder(_Row)


def lines_of(connection: Connection) -> Iterator[bytes]:
    """The record as lines, parents before what refers to them."""
    revision = connection.execute(select(revisions.c.version_num)).scalar_one()
    yield msgspec.json.encode(_Head(revision))
    for table in metadata.sorted_tables:
        ordered = select(table).order_by(*table.primary_key.columns)
        rows = connection.execution_options(yield_per=_LOT).execute(ordered)
        names = list(map(str, table.columns.keys()))  # plain ones: SQLAlchemy's are of a class of its own
        for row in rows:
            yield msgspec.json.encode(_Row(str(table.name), dict(zip(names, row, strict=True))))


def is_empty(connection: Connection) -> bool:
    """Whether nobody's case is in it; also when there are no tables yet."""
    if not inspect(connection).has_table(cases.name):
        return True
    return connection.execute(select(func.count()).select_from(cases)).scalar_one() == 0


def fill(connection: Connection, lines: Iterable[bytes], upgrade: Callable[[Connection, str], None]) -> Counter[str]:
    """Put `lines_of` a record into an empty one; how many rows each table got.

    `upgrade(connection, revision)` makes the tables of a migration. Raises DecodeError on what is no such record.
    """
    left = iter(lines)
    try:
        head = _head.decode(next(left, b""))
    except msgspec.MsgspecError as error:
        raise DecodeError(f"the first line is not that of a case record: {error}") from error
    for table in reversed(metadata.sorted_tables):  # what a notifier that ran for a moment left
        if inspect(connection).has_table(table.name):
            connection.execute(table.delete())
    if not inspect(connection).has_table(cases.name):
        upgrade(connection, head.revision)
    tables = MetaData()
    tables.reflect(connection)
    counted: Counter[str] = Counter()
    while lot := [_decoded(line) for line in islice(left, _LOT)]:
        _insert(connection, tables, lot)
        counted.update(row.table for row in lot)
    if connection.dialect.name == "postgresql":
        _go_on_counting(connection, tables)
    return counted


def _decoded(line: bytes) -> _Row:
    try:
        return _row.decode(line)
    except msgspec.MsgspecError as error:
        raise DecodeError(f"a line of the case record is damaged: {error}") from error


def _insert(connection: Connection, tables: MetaData, lot: list[_Row]) -> None:
    """Rows of one table at a time, in their order."""
    while lot:
        name = lot[0].table
        if name not in tables.tables:
            raise DecodeError(f"the case record has no table {name}")
        table = tables.tables[name]
        same = [row for row in lot if row.table == name]
        connection.execute(insert(table), [_values(table, row) for row in same])
        lot = [row for row in lot if row.table != name]


def _values(table: Table, row: _Row) -> dict[str, Any]:
    if set(row.values) != set(table.columns.keys()):
        raise DecodeError(f"a row of {table.name} has other columns than its table")
    return {
        name: base64.b64decode(value) if isinstance(table.c[name].type, LargeBinary) else value
        for name, value in row.values.items()
    }


def _go_on_counting(connection: Connection, tables: MetaData) -> None:
    """PostgreSQL counts ids by itself, and knows nothing of those that were put in."""
    for table in tables.tables.values():
        for column in table.primary_key.columns:
            sequence = connection.execute(select(func.pg_get_serial_sequence(table.name, column.name))).scalar()
            if sequence:
                top = connection.execute(select(func.coalesce(func.max(column), 0))).scalar_one()
                connection.execute(
                    text("SELECT setval(:name, :top, true)" if top else "SELECT setval(:name, 1, false)"),
                    {"name": sequence, **({"top": top} if top else {})},
                )
