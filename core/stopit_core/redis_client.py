"""The one place that makes Redis clients, and that turns what they raise into our errors.

redis-py 8 by itself retries a refused connection for about four seconds; the milter must know in half of one, so that
the report goes to the spool. A blocking read needs longer than that, so it gets a client of its own. Clients connect
on first use: making one never fails because the server is away. RESP2 and Redis 7 (or Valkey): replies of one shape.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from stopit_core.errors import Transient

__all__ = ["BLOCK", "connect", "connect_reader", "durability_faults", "server_name", "transient"]

BLOCK = 1.0
"""Seconds that a blocking read may ask for at once; the reader's time-out allows for it."""

_TIMEOUT = 0.5
_READER_TIMEOUT = 5.0
_WANTED = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}


def connect(url: str) -> redis.Redis:
    """A client for short commands: no retry, half a second. Raises ValueError on a URL that is none."""
    return _client(url, _TIMEOUT)


def connect_reader(url: str) -> redis.Redis:
    """A client for reads that block up to `BLOCK` seconds."""
    return _client(url, _READER_TIMEOUT)


def server_name(client: redis.Redis) -> str:
    """Where a client connects to, for messages: the URL may hold a password, this does not."""
    given = client.connection_pool.connection_kwargs
    return f"redis {given.get('path') or '{}:{}'.format(given.get('host', 'localhost'), given.get('port', 6379))}"


@contextmanager
def transient(client: redis.Redis) -> Iterator[None]:
    """Whatever the server, the network or the client library says no with is a Transient that names the server."""
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise Transient(f"{server_name(client)}: {error}") from error


def durability_faults(client: redis.Redis) -> tuple[str, ...]:
    """What in the server's settings could lose an acknowledged report, in sentences; () when all is well.

    Measured in power cuts: `appendfsync everysec` lost a quarter of the acknowledged writes, `always` none.
    """
    with transient(client):
        try:
            found = client.config_get(*_WANTED)
        except redis.exceptions.NoPermissionError:
            return (f"{server_name(client)}: CONFIG GET is not allowed, so its durability cannot be checked",)
    settings = {_text(name): _text(value) for name, value in found.items()}
    return tuple(
        f"{server_name(client)}: {name} is {settings.get(name, 'unknown')}; it must be {wanted}"
        for name, wanted in _WANTED.items()
        if settings.get(name) != wanted
    )


def _client(url: str, timeout: float) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        protocol=2,
        decode_responses=False,
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=_TIMEOUT,
        socket_timeout=timeout,
    )


def _text(value: str | bytes | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""
