"""The migrations create the tables that the program expects, on both databases, from nothing and on repetition."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, text

from stopit_core.cases import CaseStore
from stopit_core.cases.schema import REVISION, metadata
from stopit_core.errors import Transient


@pytest.fixture
def engine(cases_url: str) -> Iterator[Engine]:
    engine = create_engine(cases_url)
    yield engine
    engine.dispose()


@pytest.fixture
def store(cases_url: str) -> Iterator[CaseStore]:
    store = CaseStore(cases_url)
    yield store
    store.close()


def differences(engine: Engine) -> list[object]:
    with engine.connect() as connection:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))


def test_migrations_lead_to_the_schema(store: CaseStore, engine: Engine) -> None:
    assert len(differences(engine)) > 0

    store.migrate()

    assert differences(engine) == []


def test_store_knows_whether_its_tables_are_current(store: CaseStore) -> None:
    assert not store.is_current()

    store.migrate()
    store.migrate()

    assert store.is_current()


def test_newest_migration_is_the_one_that_the_schema_names(store: CaseStore, engine: Engine) -> None:
    store.migrate()

    with engine.connect() as connection:
        assert MigrationContext.configure(connection).get_current_revision() == REVISION


def test_tables_of_another_version_are_not_current(store: CaseStore, engine: Engine) -> None:
    store.migrate()
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'other'"))

    assert not store.is_current()
    with pytest.raises(Transient, match=r"of a version of Stopit that this one does not know.*'other'"):
        store.migrate()


def test_several_notifiers_may_migrate_at_once(cases_url: str, engine: Engine) -> None:
    failures: list[BaseException] = []

    def migrate() -> None:
        store = CaseStore(cases_url)
        try:
            store.migrate()
        except Transient as error:
            failures.append(error)
        finally:
            store.close()

    threads = [threading.Thread(target=migrate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert differences(engine) == []


def test_migration_that_fails_leaves_nothing_behind(store: CaseStore, engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE watches (other INTEGER)"))  # in the way of one of the last tables

    with pytest.raises(Transient):
        store.migrate()

    with engine.begin() as connection:
        connection.execute(text("DROP TABLE watches"))
    store.migrate()
    assert differences(engine) == []
