"""Redis servers that Sentinels watch over: clients that find the master, and which history it has.

A client asks the Sentinels whenever it makes a connection, so after a failover it comes to the new master by itself.
redis-py brings the pool for that, but its own `Sentinel` reorders a list that several threads use, and can lose
Sentinels in doing so; `Sentinels` is in its place.

Replication is asynchronous, and a master that was cut off or stood still does not know that another one was chosen:
what it takes in that time is thrown away when it comes back as a replica. Each promotion begins a new *history*
(`master_replid`), so the history that a write went into tells later whether it still counts: `history`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, cast

import redis
from redis.sentinel import MasterNotFoundError, SentinelConnectionPool

from stopit_core.config.redis_url import SentinelUrl

__all__ = ["SentinelPool", "Sentinels", "replication_id", "replication_id_in", "watched_over"]

Address = tuple[str, int]

_HISTORY = re.compile(r"[0-9a-f]{40}")
_T = TypeVar("_T")


class Sentinels:
    """The Sentinels of one service. `arguments` are redis-py's, for each connection; any thread may use it.

    Raises redis.RedisError when nobody, or too few, can be asked.
    """

    def __init__(self, url: SentinelUrl, arguments: Mapping[str, Any]) -> None:
        self.named = len(url.sentinels)
        self._service = url.service
        given = {**arguments, **_credentials(url.sentinel_login, url.tls)}
        self._doors = tuple(redis.Redis(host, port, **given) for host, port in url.sentinels)
        self._first = 0  # who answered last is asked first: one that is away costs its time-out once

    def discover_master(self, _service: str) -> Address:
        """The master, by the first Sentinel that knows one that answers. What redis-py's pool asks."""
        for at in (self._first, *(at for at in range(len(self._doors)) if at != self._first)):
            try:
                state = self._state(self._doors[at])
            except redis.RedisError:
                continue
            if _is_well(state):
                self._first = at
                return _address(state)
        raise MasterNotFoundError(f"no Sentinel knows a master of {self._service} that answers")

    def agreed_master(self) -> Address:
        """The master that more than half of the Sentinels name. One that is cut off may still name an old one."""
        named = Counter(_address(state) for state in self._everybodys(self._state) if _is_well(state))
        for address, voices in named.items():
            if 2 * voices > len(self._doors):
                return address
        raise MasterNotFoundError(f"no majority of the Sentinels agrees on a master of {self._service}")

    def state(self) -> Mapping[str, Any]:
        """What a Sentinel that answers knows of the master (SENTINEL MASTER)."""
        for state in self._everybodys(self._state):
            return state
        raise MasterNotFoundError(f"no Sentinel of {self._service} answers")

    def replicas(self) -> list[Address]:
        """The replicas that a Sentinel knows of, those that are away too."""
        for states in self._everybodys(lambda door: door.sentinel_slaves(self._service)):
            return sorted(map(_address, states))
        raise MasterNotFoundError(f"no Sentinel of {self._service} answers")

    def close(self) -> None:
        """Give back all connections."""
        for door in self._doors:
            door.close()

    def _everybodys(self, ask: Callable[[redis.Redis], _T]) -> Iterator[_T]:
        for door in self._doors:
            try:
                yield ask(door)
            except redis.RedisError:
                continue

    def _state(self, door: redis.Redis) -> Mapping[str, Any]:
        return cast(Mapping[str, Any], door.sentinel_master(self._service))


class SentinelPool(SentinelConnectionPool):
    """Connections to the master. Closing it closes those to the Sentinels too."""

    sentinels: Sentinels

    def __init__(self, url: SentinelUrl, arguments: Mapping[str, Any], sentinel_arguments: Mapping[str, Any]) -> None:
        self.sentinels = Sentinels(url, sentinel_arguments)
        self._given = {**arguments, **_credentials(url.login, url.tls), "db": url.database}
        super().__init__(url.service, self.sentinels, **self._given)  # type: ignore[no-untyped-call]

    def other(self, host: str, port: int) -> redis.Redis:
        """A client for another server of the service, by its address."""
        return redis.Redis(host, port, **self._given)

    def close(self) -> None:
        """Close all connections."""
        super().close()
        self.sentinels.close()


def watched_over(client: redis.Redis) -> SentinelPool | None:
    """The client's pool, where Sentinels are asked for the master; None where there is one server."""
    pool = client.connection_pool
    return pool if isinstance(pool, SentinelPool) else None


def replication_id(client: redis.Redis) -> str:
    """The history that holds now, by the master that a majority of the Sentinels names; "" without Sentinels.

    Raises redis.RedisError when that cannot be told: in a failover, or when the client is at another server.
    """
    pool = watched_over(client)
    if pool is None:
        return ""
    agreed = pool.sentinels.agreed_master()
    found = replication_id_in(client.info("replication"))
    if pool.master_address != agreed:
        pool.disconnect(inuse_connections=False)
        raise redis.ConnectionError("connected to another server than the Sentinels agree on")
    return found


def replication_id_in(replication: Any) -> str:
    """The history of a master, from its INFO replication. Raises redis.RedisError on another server's."""
    found = str(replication.get("master_replid", ""))
    if replication.get("role") != "master" or not _HISTORY.fullmatch(found):
        raise redis.ConnectionError("this server is no master")
    return found


def _credentials(login: tuple[str, str], tls: Mapping[str, str] | None) -> dict[str, Any]:
    user, password = login
    given: dict[str, Any] = {"username": user or None, "password": password or None}
    return given if tls is None else {**given, "ssl": True, **tls}


def _is_well(state: Mapping[str, Any]) -> bool:
    return bool(state["is_master"]) and not state["is_sdown"] and not state["is_odown"]


def _address(state: Mapping[str, Any]) -> Address:
    return str(state["ip"]), int(state["port"])
