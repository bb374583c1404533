"""Who may do what on the Redis server: strangers nothing, the daemons' user what it must and no more."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from stopit_core.config import Settings
from stopit_core.credentials import ReadSecret, read_secret
from stopit_core.errors import ConfigError, Transient
from stopit_core.open_stores import redis_client_of
from stopit_ctl.probe_results import ProbeResult

if TYPE_CHECKING:
    import redis

__all__ = ["probe_redis"]


def probe_redis(settings: Settings, read: ReadSecret = read_secret) -> Iterator[ProbeResult]:
    """The rights on each server that queue and ledger are on; nothing where they are on none. `read`: secrets."""
    seen = set()
    for name, store in (("queue", settings.queue), ("ledger", settings.ledger)):
        try:
            client = None if store.url in seen else redis_client_of(name, store, read)
            seen.add(store.url)
            if client is None:
                continue
            with closing(client):
                yield from _rights(client)
                yield from _strangers(client)
        except (ConfigError, Transient):
            continue  # the store itself was found faulty


def _rights(client: redis.Redis) -> Iterator[ProbeResult]:
    from stopit_core.stores.redis_rights import rights_of

    rights = rights_of(client)
    if rights is None:
        yield ProbeResult.untried(
            "redis: what its user may do",
            "it may not run EVAL, or the server is older than 7, so it cannot be asked",
        )
        return
    who = f'redis: user "{rights.user}"'
    if rights.lacks_milter and rights.lacks_notifier:
        yield ProbeResult.fault(
            f"{who} may not do what either daemon must",
            f"stopit-milter lacks {', '.join(rights.lacks_milter)}; stopit-notifier lacks "
            f"{', '.join(rights.lacks_notifier)}: ACL SETUSER, on the keys stopit:*",
        )
        return
    fits = (
        "both daemons"
        if not rights.lacks_milter and not rights.lacks_notifier
        else ("stopit-notifier" if rights.lacks_milter else "stopit-milter")
    )
    yield ProbeResult.ok(f"{who} may do what {fits} must")
    if rights.more and rights.user != "default":
        yield ProbeResult.fault(
            f"{who} may do more than it must: {', '.join(rights.more)}",
            "give it the keys stopit:* and the commands it needs, nothing else: ACL SETUSER",
        )


def _strangers(client: redis.Redis) -> Iterator[ProbeResult]:
    """By TCP anybody on the way; by a Unix socket whoever may open it."""
    from stopit_core.stores.redis_rights import strangers_may_read

    path = client.connection_pool.connection_kwargs.get("path")
    if path and not _open_to_all(Path(str(path))):
        return
    if strangers_may_read(client):
        yield ProbeResult.fault(
            "redis: whoever reaches the server can read the queue without a password",
            "switch its default user off (ACL SETUSER default off) and give the daemons users with passwords, or let "
            "it listen on a Unix socket only, that only the daemons' group may open (unixsocketperm 770)",
        )


def _open_to_all(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IWOTH)
    except OSError:
        return False
