"""The one place that makes Redis clients, and that turns what they raise into our errors.

redis-py 8 by itself retries a refused connection for about four seconds; the milter must know in half of one, so that
the report goes to the spool. A blocking read needs longer than that, so it gets a client of its own. Clients connect
on first use: making one never fails because the server is away. RESP2 and Redis 7 (or Valkey): replies of one shape.

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
from stopit_core.stores.sentinel import SentinelPool, watched_over

__all__ = ["BLOCK", "connect", "connect_reader", "durability_faults", "server_name", "transient"]

BLOCK = 1.0
"""Seconds that a blocking read may ask for at once; the reader's time-out allows for it."""

_TIMEOUT = 0.5
_READER_TIMEOUT = 5.0
_WANTED = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
_WANTED_OF_SEVERAL = {
    **_WANTED,
    "min-replicas-to-write": "1 or more",
    "min-replicas-max-lag": "10 or less, and not 0",
}
"""A master that is cut off must stop taking writes, or traces go into a history that will not count."""
_RIGHT = {"1 or more": re.compile(r"[1-9]\d*"), "10 or less, and not 0": re.compile(r"[1-9]|10")}
_SENTINELS = 3
_DOWN_AFTER = 30_000
"""Milliseconds. Sentinel may choose a replica that lost its master ten times as long ago: `queue.copies.HOLD`."""


def connect(url: str) -> redis.Redis:
    """A client for short commands: no retry, half a second. Raises ValueError on a URL that is none."""
    return _client(url, _TIMEOUT)


def connect_reader(url: str) -> redis.Redis:
    """A client for reads that block up to `BLOCK` seconds."""
    return _client(url, _READER_TIMEOUT)


def server_name(client: redis.Redis) -> str:
    """Where a client connects to, for messages: the URL may hold a password, this does not."""
    given = client.connection_pool.connection_kwargs
    pool = watched_over(client)
    if pool is not None:
        at = "{}:{}".format(*pool.master_address) if pool.master_address else "no master yet"
        return f"redis service {pool.service_name} ({at})"
    return f"redis {given.get('path') or '{}:{}'.format(given.get('host', 'localhost'), given.get('port', 6379))}"


@contextmanager
def transient(client: redis.Redis) -> Iterator[None]:
    """Whatever the server, the network or the client library says no with is a Transient that names the server."""
    try:
        yield
    except redis.exceptions.NoPermissionError as error:
        raise NotAllowed(f"{server_name(client)}: {error}") from error
    except (redis.RedisError, OSError) as error:
        raise Transient(f"{server_name(client)}: {error}") from error


def durability_faults(client: redis.Redis) -> tuple[str, ...]:
    """What in the server's settings could lose an acknowledged report, in sentences; () when all is well.

    With Sentinels every server is asked, and the Sentinels too.
    Raises NotAllowed when its user may not ask (CONFIG GET), as a milter's own may not.
    Measured in power cuts: `appendfsync everysec` lost a quarter of the acknowledged writes, `always` none.
    """
    pool = watched_over(client)
    with transient(client):
        faults = [*_settings_faults(client, _WANTED if pool is None else _WANTED_OF_SEVERAL)]
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
    """Of the other servers, because each may be the master tomorrow. One that is away loses nothing."""
    there = 0
    for host, port in pool.sentinels.replicas():
        with closing(pool.other(host, port)) as replica:
            try:
                yield from _settings_faults(replica, _WANTED_OF_SEVERAL)
            except redis.exceptions.NoPermissionError:
                raise
            except redis.RedisError:
                continue
        there += 1
    if not there:
        yield f"redis service {pool.service_name}: no replica answers; one must be there"


def _sentinel_faults(pool: SentinelPool) -> Iterator[str]:
    state = pool.sentinels.state()
    name = f"sentinels of {pool.service_name}"
    there = int(state["num-other-sentinels"]) + 1
    if there < _SENTINELS:
        yield f"{name}: there are {there}; there must be {_SENTINELS} or more, each on a host of its own"
    if there != pool.sentinels.named:
        yield f"{name}: there are {there}, and the URL names {pool.sentinels.named}; it must name each of them"
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
