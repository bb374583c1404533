"""The door to the case record: opens the database, brings its tables up to date, gives out transactions."""

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
    """Transactions on the case record. May be used from any thread; every method raises Transient when the
    database cannot be used now."""

    def __init__(self, url: str) -> None:
        """Nothing is connected yet. `url`: "sqlite:////path" or "postgresql+psycopg://..."."""
        self._engine = _engine(url)

    def migrate(self) -> None:
        """Bring the tables up to date (also from nothing). Several notifiers may do so at the same time."""
        with self._transaction() as connection:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(727569748)")
            if not _is_current(connection):
                _upgrade(connection)

    def is_current(self) -> bool:
        """Whether the tables are those that this version writes."""
        with self._transaction() as connection:
            return _is_current(connection)

    @contextmanager
    def work(self) -> Iterator[Work]:
        """One transaction in which reports are dealt with: committed when the block ends, else undone."""
        with self._transaction() as connection:
            event_log = EventLog(connection)
            work = Work(connection, event_log)
            yield work
            work.write_down()
            event_log.write_down()

    @contextmanager
    def sending(self) -> Iterator[Sending]:
        """One transaction of the outbox."""
        with self._transaction() as connection:
            event_log = EventLog(connection)
            sending = Sending(connection, event_log)
            yield sending
            sending.work.write_down()
            event_log.write_down()

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        """One look at the record."""
        with self._transaction() as connection:
            yield Reading(connection)

    @contextmanager
    def copy(self) -> Iterator[Iterator[bytes]]:
        """The whole record as it is at one moment, as lines (`copying`). Holds up nobody who writes."""
        with _faults(), self._engine.connect() as connection:
            if connection.dialect.name == "postgresql":
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            else:
                connection = connection.execution_options(looks_only=True)
            with connection.begin():
                yield lines_of(connection)

    def is_empty(self) -> bool:
        """Whether no case is in it, or there are no tables yet."""
        with self._transaction() as connection:
            return is_empty(connection)

    def fill(self, lines: Iterable[bytes]) -> Counter[str]:
        """Put a copy into this record, which is empty; how many rows each table got. All or nothing.

        Raises DecodeError when the lines are no copy of a record that this version knows.
        """
        with self._transaction() as connection:
            counted = fill(connection, lines, _upgrade)
            if not _is_current(connection):
                _upgrade(connection)
            return counted

    def ping(self) -> None:
        """Return when the database answers."""
        with self._transaction() as connection:
            connection.exec_driver_sql("SELECT 1")

    def close(self) -> None:
        """Give back all connections."""
        self._engine.dispose()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with _faults(), self._engine.begin() as connection:
            yield connection


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:  # somebody else took the same report at the same moment
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
        connection.isolation_level = None  # we say BEGIN ourselves
        enter_wal(connection, _BUSY_SECONDS)
        for pragma in ("synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        looks_only = connection.get_execution_options().get("looks_only", False)
        # A read that turns into a write would fail at once.
        connection.exec_driver_sql("BEGIN" if looks_only else "BEGIN IMMEDIATE")

    return engine


def _is_current(connection: Connection) -> bool:
    there = connection.dialect.has_table(connection, revisions.name)
    return there and connection.execute(select(revisions.c.version_num)).scalar() == REVISION


def _upgrade(connection: Connection, revision: str = "head") -> None:
    from alembic import command  # takes a while, and is needed once for each version of Stopit
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
                f" version, or bring back a backup of this one ({error})"
            ) from error
        raise DecodeError(f"it is of another version of Stopit ({revision}), which this one does not know") from error
