"""From a store's section of the settings to the store. The only place that knows which backends there are.

Opening looks at nothing but the name of a directory and the file of a password: a server that is away
shows when it is used. What a backend needs is imported when it is opened: the client of Redis takes a tenth of a
second that a site on SQLite never needs.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stopit_core.config import Cases, LedgerStore, QueueStore
from stopit_core.credentials import ReadSecret, read_password, read_secret, with_password
from stopit_core.errors import ConfigError, Fault
from stopit_core.stores.ledger import Ledger
from stopit_core.stores.ledger.sqlite import SqliteLedger
from stopit_core.stores.queue import Queue
from stopit_core.stores.queue.sqlite import SqliteQueue

if TYPE_CHECKING:
    import redis

    from stopit_core.cases import CaseStore

__all__ = ["open_cases", "open_ledger", "open_queue", "queue_durability_faults", "redis_client_of"]

_SQLITE = "sqlite:///"


def open_cases(settings: Cases, read: ReadSecret = read_secret) -> CaseStore:
    """The case record. Raises ConfigError when its password cannot be read."""
    from stopit_core.cases import CaseStore

    return CaseStore(_with_password("cases", settings, read))


def open_ledger(settings: LedgerStore, read: ReadSecret = read_secret) -> Ledger:
    """The ledger. Raises ConfigError when a file's directory is missing, or a URL or password cannot be read."""
    if path := _sqlite_path("ledger.url", settings.url):
        return SqliteLedger(path, settings.retention)
    from stopit_core.stores.ledger.redis import RedisLedger

    url = _with_password("ledger", settings, read)
    return RedisLedger(_client("ledger.url", url), settings.retention)


def open_queue(settings: QueueStore, read: ReadSecret = read_secret) -> Queue:
    """The queue. Raises ConfigError when a file's directory is missing, or a URL or password cannot be read."""
    if path := _sqlite_path("queue.url", settings.url):
        return SqliteQueue(path, settings.max_attempts)
    from stopit_core.stores.queue.redis import RedisQueue
    from stopit_core.stores.redis_client import connect_reader

    url = _with_password("queue", settings, read)
    client = _client("queue.url", url)
    return RedisQueue(client, connect_reader(url), settings.max_attempts)


def queue_durability_faults(settings: QueueStore, read: ReadSecret = read_secret) -> tuple[str, ...]:
    """What in the queue server's own settings could lose a report, in sentences; () when all is well.

    For start-up and `stopitctl check`. Raises Transient when the server cannot be asked.
    """
    if _sqlite_path("queue.url", settings.url):
        return ()
    from stopit_core.stores.redis_client import durability_faults

    client = _client("queue.url", _with_password("queue", settings, read))
    try:
        return durability_faults(client)
    finally:
        client.close()


def redis_client_of(
    section: str, settings: LedgerStore | QueueStore, read: ReadSecret = read_secret
) -> redis.Redis | None:
    """A client of the server that a store is on, None where it is on none. Raises ConfigError."""
    if _sqlite_path(f"{section}.url", settings.url):
        return None
    return _client(f"{section}.url", _with_password(section, settings, read))


def _sqlite_path(key: str, url: str) -> Path | None:
    """The file that a sqlite:////path URL names; None for another kind of URL."""
    if not url.startswith(_SQLITE):
        return None
    path = Path(url.removeprefix(_SQLITE))
    if not path.parent.is_dir():
        advice = f"there is no directory {path.parent}; make it, writable by the user that the daemons run as"
        raise ConfigError([Fault(str(path.parent), key, f'"{url}"', advice)])
    return path


def _with_password(section: str, settings: QueueStore | LedgerStore | Cases, read: ReadSecret) -> str:
    """The store's URL, with the password in it where there is a file of one."""
    if settings.password_file is None:
        return settings.url
    return with_password(settings.url, read_password(f"{section}.password_file", settings.password_file, read))


def _client(key: str, url: str) -> redis.Redis:
    import redis

    from stopit_core.stores.redis_client import connect

    try:
        return connect(url)
    except (ValueError, redis.RedisError) as error:
        scheme = url.partition("://")[0]
        raise ConfigError([Fault(f"{scheme}://...", key, "", f"is no Redis URL: {error}")]) from error
