"""Probes the rights on the Redis server: none without a password, and no more than needed for the daemons' user."""

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
    """Probe the rights on each Redis server of queue and ledger. No result without one. `read` reads secrets."""
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
            continue  # the probe of the store reports it


def _rights(client: redis.Redis) -> Iterator[ProbeResult]:
    from stopit_core.stores.redis_rights import rights_of

    rights = rights_of(client)
    if rights is None:
        yield ProbeResult.untried(
            "redis: the rights of its user",
            "the user may not run EVAL, or the server is older than 7, so the rights cannot be read",
        )
        return
    who = f'redis: user "{rights.user}"'
    if rights.lacks_milter and rights.lacks_notifier:
        yield ProbeResult.fault(
            f"{who} has too few rights for either daemon",
            f"stopit-milter lacks {', '.join(rights.lacks_milter)}; stopit-notifier lacks "
            f"{', '.join(rights.lacks_notifier)}: ACL SETUSER, on the keys stopit:*",
        )
        return
    lacks = {"stopit-milter": rights.lacks_milter, "stopit-notifier": rights.lacks_notifier}
    served = [daemon for daemon, lacking in lacks.items() if not lacking]
    yield ProbeResult.ok(f"{who} has the rights of {served[0] if len(served) == 1 else 'both daemons'}")
    if rights.more and rights.user != "default":
        yield ProbeResult.fault(
            f"{who} has more rights than it needs: {', '.join(rights.more)}",
            "give it the keys stopit:* and the commands that it needs, nothing else: ACL SETUSER",
        )


def _strangers(client: redis.Redis) -> Iterator[ProbeResult]:
    """Probe for access without a password: by TCP, or by a Unix socket that every user can open."""
    from stopit_core.stores.redis_rights import anonymous_may_read

    path = client.connection_pool.connection_kwargs.get("path")
    if path and not _open_to_all(Path(str(path))):
        return
    if anonymous_may_read(client):
        yield ProbeResult.fault(
            "redis: everybody who can connect to the server can read the queue without a password",
            "disable its default user (ACL SETUSER default off) and give the daemons users with passwords, or "
            "make it listen only on a Unix socket that only the daemons' group can open (unixsocketperm 770)",
        )


def _open_to_all(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & stat.S_IWOTH)
    except OSError:
        return False
