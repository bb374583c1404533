"""Clients for Redis servers that Sentinels monitor: find the master and its replication id.

A client asks the Sentinels whenever it makes a connection, so after a failover it connects to the new master.
redis-py has a pool for that, but its own `Sentinel` reorders a list that several threads use, and can lose Sentinels;
`Sentinels` replaces it.

Replication is asynchronous. A master that was cut off or suspended does not know that another one was promoted: what
it accepts meanwhile is discarded when it returns as a replica. Each promotion starts a new replication id
(`master_replid`), so the replication id that a write went to tells later whether the write still counts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, cast

import redis
from redis.sentinel import MasterNotFoundError, SentinelConnectionPool

from stopit_core.config.redis_url import SentinelUrl

__all__ = ["SentinelPool", "Sentinels", "replication_id", "replication_id_in", "sentinel_pool_of"]

Address = tuple[str, int]

_REPLICATION_ID = re.compile(r"[0-9a-f]{40}")
_T = TypeVar("_T")


class Sentinels:
    """The Sentinels of one service. `arguments` are redis-py's, for each connection. Thread-safe.

    Raises redis.RedisError if none, or too few, answer.
    """

    def __init__(self, url: SentinelUrl, arguments: Mapping[str, Any]) -> None:
        self.named = len(url.sentinels)
        self._service = url.service
        given = {**arguments, **_credentials(url.sentinel_login, url.tls)}
        self._clients = tuple(redis.Redis(host, port, **given) for host, port in url.sentinels)
        self._first = 0  # the one that answered last is asked first, so one that is down costs its time-out only once

    def discover_master(self, _service: str) -> Address:
        """Return the master from the first Sentinel that knows one that answers. Called by redis-py's pool."""
        for at in (self._first, *(at for at in range(len(self._clients)) if at != self._first)):
            try:
                state = self._state(self._clients[at])
            except redis.RedisError:
                continue
            if _is_well(state):
                self._first = at
                return _address(state)
        raise MasterNotFoundError(f"no Sentinel knows a master of {self._service} that answers")

    def agreed_master(self) -> Address:
        """Return the master that more than half of the Sentinels name. A Sentinel that is cut off may still name an
        old one."""
        named = Counter(_address(state) for state in self._each_answer(self._state) if _is_well(state))
        for address, votes in named.items():
            if 2 * votes > len(self._clients):
                return address
        raise MasterNotFoundError(f"no majority of the Sentinels agrees on a master of {self._service}")

    def state(self) -> Mapping[str, Any]:
        """Return the state of the master from a Sentinel that answers (SENTINEL MASTER)."""
        for state in self._each_answer(self._state):
            return state
        raise MasterNotFoundError(f"no Sentinel of {self._service} answers")

    def replicas(self) -> list[Address]:
        """Return the replicas that a Sentinel knows, including those that are down."""
        for states in self._each_answer(lambda client: client.sentinel_slaves(self._service)):
            return sorted(map(_address, states))
        raise MasterNotFoundError(f"no Sentinel of {self._service} answers")

    def close(self) -> None:
        """Close all connections."""
        for client in self._clients:
            client.close()

    def _each_answer(self, ask: Callable[[redis.Redis], _T]) -> Iterator[_T]:
        for client in self._clients:
            try:
                yield ask(client)
            except redis.RedisError:
                continue

    def _state(self, client: redis.Redis) -> Mapping[str, Any]:
        return cast(Mapping[str, Any], client.sentinel_master(self._service))


class SentinelPool(SentinelConnectionPool):
    """Connections to the master. Closing it also closes those to the Sentinels."""

    sentinels: Sentinels

    def __init__(self, url: SentinelUrl, arguments: Mapping[str, Any], sentinel_arguments: Mapping[str, Any]) -> None:
        self.sentinels = Sentinels(url, sentinel_arguments)
        self._given = {**arguments, **_credentials(url.login, url.tls), "db": url.database}
        super().__init__(url.service, self.sentinels, **self._given)  # type: ignore[no-untyped-call]

    def client_of(self, host: str, port: int) -> redis.Redis:
        """Return a client for another server of the service."""
        return redis.Redis(host, port, **self._given)

    def close(self) -> None:
        """Close all connections."""
        super().close()
        self.sentinels.close()


def sentinel_pool_of(client: redis.Redis) -> SentinelPool | None:
    """Return the client's pool if it asks Sentinels for the master; None if there is one server."""
    pool = client.connection_pool
    return pool if isinstance(pool, SentinelPool) else None


def replication_id(client: redis.Redis) -> str:
    """Return the current replication id, from the master that a majority of the Sentinels names; "" without
    Sentinels.

    Raises redis.RedisError if it cannot be determined: in a failover, or if the client is connected to another
    server.
    """
    pool = sentinel_pool_of(client)
    if pool is None:
        return ""
    agreed = pool.sentinels.agreed_master()
    found = replication_id_in(client.info("replication"))
    if pool.master_address != agreed:
        pool.disconnect(inuse_connections=False)
        raise redis.ConnectionError("connected to another server than the Sentinels agree on")
    return found


def replication_id_in(replication: Any) -> str:
    """Return the replication id in a master's INFO replication. Raises redis.RedisError if the server is no
    master."""
    found = str(replication.get("master_replid", ""))
    if replication.get("role") != "master" or not _REPLICATION_ID.fullmatch(found):
        raise redis.ConnectionError("this server is not a master")
    return found


def _credentials(login: tuple[str, str], tls: Mapping[str, str] | None) -> dict[str, Any]:
    user, password = login
    given: dict[str, Any] = {"username": user or None, "password": password or None}
    return given if tls is None else {**given, "ssl": True, **tls}


def _is_well(state: Mapping[str, Any]) -> bool:
    return bool(state["is_master"]) and not state["is_sdown"] and not state["is_odown"]


def _address(state: Mapping[str, Any]) -> Address:
    return str(state["ip"]), int(state["port"])
