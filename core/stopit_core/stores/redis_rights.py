"""Find out what a user may do on a Redis server, and what each daemon needs. Asking changes nothing.

A script calls `redis.acl_check_cmd`, which tells whether the caller may run a command (Redis 7, and Valkey), even
FLUSHALL, without running it. It does not work for a user that may not run EVAL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import redis

from stopit_core.stores.redis_client import transient

__all__ = ["MILTER", "NOTIFIER", "Rights", "anonymous_may_read", "rights_of"]

_BOTH = (
    "MULTI",
    "EXEC",
    "XGROUP CREATE stopit:queue notifier 0 MKSTREAM",
    "XADD stopit:queue * id x",
    "HMGET stopit:trace:1:1 x",
    "ZADD stopit:watch 0 x",
    "INFO replication",
    "EVALSHA x 0",
    "SCRIPT LOAD x",
)
MILTER = (
    *_BOTH,
    "HSETNX stopit:trace:1:1 x y",
    "HSET stopit:trace:1:1 x y",
    "HINCRBY stopit:trace:1:1 x 1",
    "EXPIREAT stopit:trace:1:1 1",
    "ZRANGEBYSCORE stopit:watch 0 1",
    "ZREMRANGEBYSCORE stopit:watch 0 1",
)
"""The commands of stopit-milter, with the keys that it uses. None of them reads a report."""
NOTIFIER = (
    *_BOTH,
    "CONFIG GET appendonly",
    "XREADGROUP GROUP notifier x STREAMS stopit:queue >",
    "XAUTOCLAIM stopit:queue notifier x 1 0",
    "XPENDING stopit:queue notifier",
    "XRANGE stopit:queue - +",
    "XLEN stopit:queue",
    "XACK stopit:queue notifier 1-1",
    "XDEL stopit:queue 1-1",
    "HSET stopit:queue:dead x y",
    "HDEL stopit:queue:dead x",
    "HGET stopit:queue:dead x",
    "HKEYS stopit:queue:dead",
    "HLEN stopit:queue:dead",
)
"""The commands of stopit-notifier and stopitctl."""

_MORE = ("FLUSHALL", "KEYS *", "SHUTDOWN", "CONFIG SET dir x", "ACL SETUSER x", "GET not-stopit", "DEL not-stopit")
"""Commands that none of our programs needs."""

_ASK = """
local allowed = {}
for _, command in ipairs(ARGV) do
  local words = {}
  for word in string.gmatch(command, '%S+') do words[#words + 1] = word end
  allowed[#allowed + 1] = redis.acl_check_cmd(unpack(words)) and 1 or 0
end
return allowed
"""


@dataclass(frozen=True, slots=True)
class Rights:
    """The permissions of a user: `user` is its name on the server, `lacks_*` are the missing commands of each daemon,
    `more` are allowed commands that none of our programs needs. Commands without their arguments."""

    user: str
    lacks_milter: tuple[str, ...]
    lacks_notifier: tuple[str, ...]
    more: tuple[str, ...]


def rights_of(client: redis.Redis) -> Rights | None:
    """Return the rights of this client's user; None if it may not ask. Raises Transient."""
    with transient(client):
        try:
            user = client.acl_whoami()
        except redis.exceptions.NoPermissionError:
            user = client.connection_pool.connection_kwargs.get("username") or "default"
        try:
            allowed: Any = client.eval(_ASK, 0, *MILTER, *NOTIFIER, *_MORE)
        except redis.exceptions.ResponseError:  # no scripts for this user, or a server older than 7
            return None
    name = user.decode("utf-8", "replace") if isinstance(user, bytes) else str(user)
    milter, notifier = len(MILTER), len(MILTER) + len(NOTIFIER)
    return Rights(
        name,
        _named(MILTER, allowed[:milter], False),
        _named(NOTIFIER, allowed[milter:notifier], False),
        _named(_MORE, allowed[notifier:], True),
    )


def anonymous_may_read(client: redis.Redis) -> bool:
    """Return whether a client without a user name and password can read the queue."""
    given = client.connection_pool.connection_kwargs
    kwargs = {name: value for name, value in given.items() if name not in ("username", "password")}
    pool = redis.ConnectionPool(connection_class=client.connection_pool.connection_class, **kwargs)
    anonymous = redis.Redis(connection_pool=pool)
    try:
        anonymous.xlen("stopit:queue")
    except (redis.RedisError, OSError):
        return False
    finally:
        pool.disconnect()
    return True


def _named(commands: Sequence[str], allowed: Sequence[int], wanted: bool) -> tuple[str, ...]:
    """Return the names of the commands whose permission is `wanted`, each once."""
    found = (command for command, may in zip(commands, allowed, strict=True) if bool(may) is wanted)
    return tuple(dict.fromkeys(_name(command) for command in found))


def _name(command: str) -> str:
    words = command.split()
    return " ".join(words[:2]) if words[0] in ("CONFIG", "ACL", "XGROUP", "SCRIPT") else words[0]
