"""Real servers for the tests. One that is not installed skips its tests here, and fails them where CI=true."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from stopit_lab.postgresql import PostgreSql
from stopit_lab.redis import Redis
from stopit_lab.sentinel import RedisService


def needed(what: str, installed: bool) -> None:
    """Skip, or in CI fail, the test when a server that it needs is not installed."""
    if not installed:
        missing = f"{what} is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)


@pytest.fixture(scope="session")
def redis_process() -> Iterator[Redis]:
    """One redis-server for the whole run."""
    needed("redis-server", Redis.installed())
    with Redis() as server:
        yield server


@pytest.fixture
def redis_server(redis_process: Redis) -> Redis:
    """A redis-server that runs and is empty, whatever the test before did to it."""
    redis_process.start()
    redis_process.wipe()
    return redis_process


@pytest.fixture
def redis_service() -> Iterator[RedisService]:
    """Three redis-servers and three Sentinels of a test's own, because it is there to fail over."""
    needed("redis-sentinel", RedisService.installed())
    with RedisService() as running:
        yield running


@pytest.fixture(scope="session")
def postgresql_process() -> Iterator[PostgreSql]:
    """One PostgreSQL cluster for the whole run."""
    needed("PostgreSQL", PostgreSql.installed())
    with PostgreSql() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def cases_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty case record, on each of the two kinds of database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/cases.db"
    server: PostgreSql = request.getfixturevalue("postgresql_process")
    return server.new_database()
