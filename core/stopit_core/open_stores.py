"""Open a store from its section of the settings. The only module that knows which backends exist.

Opening checks only that the directory of a file exists and reads the password file: an unavailable server is noticed
at first use. The modules of a backend are imported when it is opened, because the Redis client takes a tenth of a
second to import and a site on SQLite never needs it.
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
    """Return the case record. Raises ConfigError if its password cannot be read."""
    from stopit_core.cases import CaseStore

    return CaseStore(_with_password("cases", settings, read))


def open_ledger(settings: LedgerStore, read: ReadSecret = read_secret) -> Ledger:
    """Return the ledger. Raises ConfigError if a file's directory is missing, or a URL or password cannot be read."""
    if path := _sqlite_path("ledger.url", settings.url):
        return SqliteLedger(path, settings.retention)
    from stopit_core.stores.ledger.redis import RedisLedger

    url = _with_password("ledger", settings, read)
    return RedisLedger(_client("ledger.url", url), settings.retention)


def open_queue(settings: QueueStore, read: ReadSecret = read_secret) -> Queue:
    """Return the queue. Raises ConfigError if a file's directory is missing, or a URL or password cannot be read."""
    if path := _sqlite_path("queue.url", settings.url):
        return SqliteQueue(path, settings.max_attempts)
    from stopit_core.stores.queue.redis import RedisQueue
    from stopit_core.stores.redis_client import connect_reader

    url = _with_password("queue", settings, read)
    client = _client("queue.url", url)
    return RedisQueue(client, connect_reader(url), settings.max_attempts)


def queue_durability_faults(settings: QueueStore, read: ReadSecret = read_secret) -> tuple[str, ...]:
    """Return the settings of the queue's server that could lose a report, as sentences; () if there are none.

    Used at start-up and by `stopitctl check`. Raises Transient if the server cannot be asked.
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
    """Return a client of the Redis server that a store uses, None if it uses none. Raises ConfigError."""
    if _sqlite_path(f"{section}.url", settings.url):
        return None
    return _client(f"{section}.url", _with_password(section, settings, read))


def _sqlite_path(key: str, url: str) -> Path | None:
    """Return the file that a sqlite:////path URL names; None for another kind of URL."""
    if not url.startswith(_SQLITE):
        return None
    path = Path(url.removeprefix(_SQLITE))
    if not path.parent.is_dir():
        advice = f"there is no directory {path.parent}; create it, writable by the daemons' user"
        raise ConfigError([Fault(str(path.parent), key, f'"{url}"', advice)])
    return path


def _with_password(section: str, settings: QueueStore | LedgerStore | Cases, read: ReadSecret) -> str:
    """Return the store's URL, including the password if it has a password file."""
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
        raise ConfigError([Fault(f"{scheme}://...", key, "", f"is not a Redis URL: {error}")]) from error
