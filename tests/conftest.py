"""Real servers for the tests; servers.py has the rule for those that are not installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import servers
from stopit_lab.postgresql import PostgreSql
from stopit_lab.redis import Redis
from stopit_lab.sentinel import RedisService


@pytest.fixture(scope="session")
def redis_process() -> Iterator[Redis]:
    """One redis-server for the whole run."""
    servers.require("redis-server")
    with Redis() as server:
        yield server


@pytest.fixture
def redis_server(redis_process: Redis) -> Redis:
    """A running, empty redis-server. The test before may have stopped or filled it."""
    redis_process.start()
    redis_process.wipe()
    return redis_process


@pytest.fixture
def redis_service() -> Iterator[RedisService]:
    """Three redis-servers and three Sentinels of a test's own, which may make them fail over."""
    servers.require("redis-server", "redis-sentinel")
    with RedisService() as running:
        yield running


@pytest.fixture(scope="session")
def postgresql_process() -> Iterator[PostgreSql]:
    """One PostgreSQL cluster for the whole run."""
    if not PostgreSql.installed():
        servers.missing("PostgreSQL")
    with PostgreSql() as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)])
def cases_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty case record, on each of the two kinds of database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/cases.db"
    server: PostgreSql = request.getfixturevalue("postgresql_process")
    return server.new_database()
