"""Create Redis clients and convert their exceptions to our errors; nothing else does either.

redis-py 8 by default retries a refused connection for about four seconds; the milter must know within half a second,
so that the report goes to the spool. A blocking read needs longer than that, so it has its own client. Clients
connect on first use: creating one never fails because the server is down. RESP2 and Redis 7 (or Valkey), so that
replies have one shape.

A URL names one server (`redis://`, `rediss://`, `unix://`) or the Sentinels of a service (`redis_url`, `sentinel`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from stopit_core.config.redis_url import SentinelUrl, is_sentinel_url
from stopit_core.errors import NotAllowed, Transient
from stopit_core.stores.sentinel import SentinelPool, sentinel_pool_of

__all__ = ["BLOCK", "connect", "connect_reader", "durability_faults", "server_name", "transient"]

BLOCK = 1.0
"""Maximum time in seconds of one blocking read; the time-out of the reader's client is longer."""

_TIMEOUT = 0.5
_READER_TIMEOUT = 5.0
_WANTED = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
_WANTED_WITH_SENTINELS = {
    **_WANTED,
    "min-replicas-to-write": "1 or more",
    "min-replicas-max-lag": "10 or less, and not 0",
}
"""A master that is cut off must stop taking writes, or traces are written that a failover discards."""
_RIGHT = {"1 or more": re.compile(r"[1-9]\d*"), "10 or less, and not 0": re.compile(r"[1-9]|10")}
_SENTINELS = 3
_DOWN_AFTER = 30_000
"""Milliseconds. Sentinel may promote a replica that lost its master ten times as long ago: see
`failover_copies.HOLD`."""


def connect(url: str) -> redis.Redis:
    """Return a client for short commands: no retry, time-out of half a second. Raises ValueError on an invalid
    URL."""
    return _client(url, _TIMEOUT)


def connect_reader(url: str) -> redis.Redis:
    """Return a client for reads that block up to `BLOCK` seconds."""
    return _client(url, _READER_TIMEOUT)


def server_name(client: redis.Redis) -> str:
    """Return the server that a client connects to, for messages: the URL may contain a password, this name does
    not."""
    given = client.connection_pool.connection_kwargs
    pool = sentinel_pool_of(client)
    if pool is not None:
        master = "{}:{}".format(*pool.master_address) if pool.master_address else "no master yet"
        return f"redis service {pool.service_name} ({master})"
    return f"redis {given.get('path') or '{}:{}'.format(given.get('host', 'localhost'), given.get('port', 6379))}"


@contextmanager
def transient(client: redis.Redis) -> Iterator[None]:
    """Convert every error of the server, the network or the client library to a Transient that names the server."""
    try:
        yield
    except redis.exceptions.NoPermissionError as error:
        raise NotAllowed(f"{server_name(client)}: {error}") from error
    except (redis.RedisError, OSError) as error:
        raise Transient(f"{server_name(client)}: {error}") from error


def durability_faults(client: redis.Redis) -> tuple[str, ...]:
    """Return the server settings that could lose an acknowledged report, as sentences; () if there are none.

    With Sentinels every server is asked, and the Sentinels too. Raises NotAllowed if the user may not ask (CONFIG
    GET); the milter's own user may not. Measured in power cuts: `appendfsync everysec` lost a quarter of the
    acknowledged writes, `always` none.
    """
    pool = sentinel_pool_of(client)
    with transient(client):
        faults = [*_settings_faults(client, _WANTED if pool is None else _WANTED_WITH_SENTINELS)]
        if pool is not None:
            faults += _sentinel_faults(pool)
            faults += _replica_faults(pool)
    return tuple(faults)


def _settings_faults(client: redis.Redis, wanted: Mapping[str, str]) -> Iterator[str]:
    settings = {_text(name): _text(value) for name, value in client.config_get(*wanted).items()}
    for name, right in wanted.items():
        value = settings.get(name, "unknown")
        if not (_RIGHT[right].fullmatch(value) if right in _RIGHT else value == right):
            yield f"{server_name(client)}: {name} is {value}; it must be {right}"


def _replica_faults(pool: SentinelPool) -> Iterator[str]:
    """Check the settings of the replicas, because each may become the master. A replica that is down loses
    nothing."""
    found_count = 0
    for host, port in pool.sentinels.replicas():
        with closing(pool.client_of(host, port)) as replica:
            try:
                yield from _settings_faults(replica, _WANTED_WITH_SENTINELS)
            except redis.exceptions.NoPermissionError:
                raise
            except redis.RedisError:
                continue
        found_count += 1
    if not found_count:
        yield f"redis service {pool.service_name}: no replica answers; there must be one"


def _sentinel_faults(pool: SentinelPool) -> Iterator[str]:
    state = pool.sentinels.state()
    name = f"sentinels of {pool.service_name}"
    found_count = int(state["num-other-sentinels"]) + 1
    if found_count < _SENTINELS:
        yield f"{name}: there are {found_count}; there must be {_SENTINELS} or more, each on its own host"
    if found_count != pool.sentinels.named:
        yield f"{name}: there are {found_count}, and the URL names {pool.sentinels.named}; it must name each of them"
    if int(state["down-after-milliseconds"]) > _DOWN_AFTER:
        found = state["down-after-milliseconds"]
        yield f"{name}: down-after-milliseconds is {found}; it must be {_DOWN_AFTER} or less"


def _client(url: str, timeout: float) -> redis.Redis:
    short = _arguments(_TIMEOUT)
    if not is_sentinel_url(url):
        return redis.Redis.from_url(url, **_arguments(timeout))
    return redis.Redis.from_pool(SentinelPool(SentinelUrl.parse(url), _arguments(timeout), short))


def _arguments(timeout: float) -> dict[str, Any]:
    return {
        "protocol": 2,
        "decode_responses": False,
        "retry": Retry(NoBackoff(), 0),
        "socket_connect_timeout": _TIMEOUT,
        "socket_timeout": timeout,
    }


def _text(value: str | bytes | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""
