"""Open the database of the case record, migrate its tables, and provide transactions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from stopit_core.cases.copying import fill, is_empty, lines_of
from stopit_core.cases.event_log import EventLog
from stopit_core.cases.reading import Reading
from stopit_core.cases.schema import REVISION, revisions
from stopit_core.cases.sending import Sending
from stopit_core.cases.work import Work
from stopit_core.errors import DecodeError, Transient
from stopit_core.stores.sqlite_file import enter_wal

__all__ = ["CaseStore"]

_BUSY_SECONDS = 10


class CaseStore:
    """Transactions on the case record. Thread-safe. Every method raises Transient if the database cannot be used
    now."""

    def __init__(self, url: str) -> None:
        """Create the store without connecting. `url`: "sqlite:////path" or "postgresql+psycopg://..."."""
        self._engine = _engine(url)

    def migrate(self) -> None:
        """Migrate the tables to the newest version (also from nothing). Several notifiers may do this at the same
        time."""
        with self._transaction() as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(727569748)")
            if not _is_current(connection):
                _upgrade(connection)

    def is_current(self) -> bool:
        """Return whether the tables are at the version of this program."""
        with self._transaction() as connection:
            return _is_current(connection)

    @contextmanager
    def work(self) -> Iterator[Work]:
        """Open a transaction in which reports are handled: committed at the end of the block, rolled back on an
        error."""
        with self._transaction() as connection:
            event_log = EventLog(connection)
            work = Work(connection, event_log)
            yield work
            work.flush()
            event_log.flush()

    @contextmanager
    def sending(self) -> Iterator[Sending]:
        """Open a transaction of the outbox."""
        with self._transaction() as connection:
            event_log = EventLog(connection)
            sending = Sending(connection, event_log)
            yield sending
            sending.work.flush()
            event_log.flush()

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """Open a transaction for reading."""
        with self._transaction() as connection:
            yield Reading(connection)

    @contextmanager
    def copy(self) -> Iterator[Iterator[bytes]]:
        """Yield the whole record at one moment as lines (`copying`). Does not block writers."""
        with _faults(), self._engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            else:
                connection = connection.execution_options(read_only=True)
            with connection.begin():
                yield lines_of(connection)

    def is_empty(self) -> bool:
        """Return whether the record has no case, or no tables yet."""
        with self._transaction() as connection:
            return is_empty(connection)

    def fill(self, lines: Iterable[bytes]) -> Counter[str]:
        """Load a dump into this record, which must be empty. Return the number of rows for each table. All or
        nothing.

        Raises DecodeError if the lines are not a dump that this version can read.
        """
        with self._transaction() as connection:
            rows_by_table = fill(connection, lines, _upgrade)
            if not _is_current(connection):
                _upgrade(connection)
            return rows_by_table

    def ping(self) -> None:
        """Return if the database answers."""
        with self._transaction() as connection:
            connection.exec_driver_sql("SELECT 1")

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with _faults(), self._engine.begin() as connection:
            yield connection


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:  # another process handled the same report at the same moment
        raise Transient(f"case record: another writer was first: {error.orig}") from error
    except DBAPIError as error:
        raise Transient(f"case record: {error.orig}") from error
    except SQLAlchemyError as error:
        raise Transient(f"case record: {error}") from error


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(
            parsed, pool_pre_ping=True, hide_parameters=True, connect_args={"connect_timeout": _BUSY_SECONDS}
        )
    engine = create_engine(parsed, hide_parameters=True, connect_args={"timeout": _BUSY_SECONDS})

    @event.listens_for(engine, "connect")
    def _prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # `_begin` issues BEGIN
        enter_wal(connection, _BUSY_SECONDS)
        for pragma in ("synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        read_only = connection.get_execution_options().get("read_only", False)
        # In a deferred transaction a write after a read fails at once with BUSY.
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine


def _is_current(connection: Connection) -> bool:
    there = connection.dialect.has_table(connection, revisions.name)
    return there and connection.execute(select(revisions.c.version_num)).scalar() == REVISION


def _upgrade(connection: Connection, revision: str = "head") -> None:
    from alembic import command  # slow to import, and needed once for each version of Stopit
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, revision)
    except CommandError as error:
        if revision == "head":
            raise Transient(
                "case record: its tables are of a version of Stopit that this one does not know; install that"
                f" version, or restore a backup of this version ({error})"
            ) from error
        raise DecodeError(f"it is of another version of Stopit ({revision}), which this one does not know") from error
