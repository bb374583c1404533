"""The site on this host as a command accesses it: its configuration, key and stores, the users, and the output.

Nothing is read before a command asks for it: `stopitctl init` and `--help` must work where there is no site yet. A
command never creates a store: a SQLite file that does not exist is an error, because the daemons create their files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from stopit_core import config
from stopit_core.cases import CaseStore
from stopit_core.credentials import ReadSecret
from stopit_core.errors import Transient
from stopit_core.identity.keys import Keyring, read_key
from stopit_core.open_stores import open_cases, open_ledger, open_queue
from stopit_core.stores.ledger import Ledger
from stopit_core.stores.queue import Queue
from stopit_ctl.console_output import ConsoleOutput
from stopit_ctl.service_user import ServiceUser

__all__ = ["Site", "opened_cases", "opened_ledger", "opened_queue", "sqlite_file"]

_SQLITE = "sqlite:///"


@dataclass(frozen=True, slots=True)
class Site:
    """The site that one run of stopitctl is about. `clock` returns seconds since the epoch."""

    path: Path
    milter_user: ServiceUser
    notifier_user: ServiceUser
    output: ConsoleOutput
    clock: Callable[[], float]

    def users(self) -> tuple[ServiceUser, ...]:
        """Return the users of both daemons, or only the present user where it cannot act as them."""
        both = tuple(user for user in (self.milter_user, self.notifier_user) if user.reachable)
        return both or (ServiceUser(""),)

    def settings(self) -> config.Settings:
        """Read the configuration. Raises ConfigError with every fault in it."""
        return config.load(self.path)

    def keyring(self, settings: config.Settings) -> Keyring:
        """Read the site's key. Raises ConfigError when it cannot be used."""
        with self.notifier_user.acting():
            return read_key(settings.ledger.key_file, self.notifier_user.read)

    @contextmanager
    def queue(self, settings: config.Settings) -> Iterator[Queue]:
        """Open the queue as the notifier does. Raises ConfigError, Transient."""
        with self.notifier_user.acting(), opened_queue(settings.queue, self.notifier_user.read) as queue:
            yield queue

    @contextmanager
    def cases(self, settings: config.Settings) -> Iterator[CaseStore]:
        """Open the case record as the notifier does. Raises Transient, also for the tables of another version."""
        with self.notifier_user.acting(), opened_cases(settings.cases, self.notifier_user.read) as store:
            if not store.is_current():
                raise Transient(
                    "case record: its tables are not those of this version; stopit-notifier upgrades them when it"
                    " starts"
                )
            yield store


@contextmanager
def opened_ledger(settings: config.LedgerStore, read: ReadSecret) -> Iterator[Ledger]:
    """Open the ledger, and close it afterwards. Raises ConfigError, Transient."""
    _must_exist(settings.url)
    with closing(open_ledger(settings, read)) as ledger:
        yield ledger


@contextmanager
def opened_queue(settings: config.QueueStore, read: ReadSecret) -> Iterator[Queue]:
    """Open the queue, and close it afterwards. Raises ConfigError, Transient."""
    _must_exist(settings.url)
    with closing(open_queue(settings, read)) as queue:
        yield queue


@contextmanager
def opened_cases(settings: config.Cases, read: ReadSecret) -> Iterator[CaseStore]:
    """Open the case record, and close it afterwards. Raises Transient."""
    _must_exist(settings.url)
    with closing(open_cases(settings, read)) as store:
        yield store


def sqlite_file(url: str) -> Path | None:
    """Return the file of a sqlite:////path URL; None for a URL of another kind."""
    return Path(url.removeprefix(_SQLITE)) if url.startswith(_SQLITE) else None


def _must_exist(url: str) -> None:
    path = sqlite_file(url)
    if path is None:
        return
    try:
        path.stat()
    except FileNotFoundError:
        raise Transient(f"sqlite {path}: there is no such file yet; the daemons create it when they start") from None
    except OSError as error:
        raise Transient(f"sqlite {path}: {error.strerror}") from error
