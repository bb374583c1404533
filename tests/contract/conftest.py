"""A store as the contract suites need it beyond its Protocol: reopened, made unavailable, erased."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Protocol

import pytest

from stopit_lab.redis import Redis


class Backend(Protocol):
    """The location of a store. `away`: (how, a context in which nothing can be written there)."""

    url: str

    def away(self) -> list[tuple[str, AbstractContextManager[None]]]: ...

    def wipe(self) -> None: ...


class SqliteBackend:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"sqlite:///{path}"

    def away(self) -> list[tuple[str, AbstractContextManager[None]]]:
        return [("locked by another process", self._locked())]

    def wipe(self) -> None:
        for path in self.path.parent.glob(f"{self.path.name}*"):
            path.unlink()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield


class RedisBackend:
    def __init__(self, server: Redis) -> None:
        self.server = server
        self.url = server.url

    def away(self) -> list[tuple[str, AbstractContextManager[None]]]:
        return [("killed", self._while(self.server.kill)), ("hung", self._while(self.server.freeze))]

    def wipe(self) -> None:
        self.server.wipe()

    @contextmanager
    def _while(self, fault: Callable[[], None]) -> Iterator[None]:
        fault()
        yield
        self.server.start()


@pytest.fixture(params=["sqlite", "redis"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    if request.param == "sqlite":
        return SqliteBackend(tmp_path / "store.db")
    return RedisBackend(request.getfixturevalue("redis_server"))
