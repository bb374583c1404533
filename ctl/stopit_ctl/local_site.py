"""What every command is handed: which site it is about, who acts, and where to print.

Nothing is read before a command asks for it: `stopitctl init` and `--help` must work where no site is yet. A store
in a SQLite file that is not there yet is trouble, never a file made by the way: the daemons make their own.
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
    """One run of stopitctl. `clock` gives seconds since the epoch."""

    path: Path
    milter_user: ServiceUser
    notifier_user: ServiceUser
    output: ConsoleOutput
    clock: Callable[[], float]

    def users(self) -> tuple[ServiceUser, ...]:
        """Whose eyes to look with at what both daemons use; only our own where those make no difference."""
        both = tuple(user for user in (self.milter_user, self.notifier_user) if user.reachable)
        return both or (ServiceUser(""),)

    def settings(self) -> config.Settings:
        """The settings in the file. Raises ConfigError with every fault in it."""
        return config.load(self.path)

    def keyring(self, settings: config.Settings) -> Keyring:
        """The site's key. Raises ConfigError when it cannot be used."""
        with self.notifier_user.acting():
            return read_key(settings.ledger.key_file, self.notifier_user.read)

    @contextmanager
    def queue(self, settings: config.Settings) -> Iterator[Queue]:
        """The queue, as the notifier opens it. Raises ConfigError, Transient."""
        with self.notifier_user.acting(), opened_queue(settings.queue, self.notifier_user.read) as queue:
            yield queue

    @contextmanager
    def cases(self, settings: config.Settings) -> Iterator[CaseStore]:
        """The case record, as the notifier opens it. Raises Transient, also when another version made its tables."""
        with self.notifier_user.acting(), opened_cases(settings.cases, self.notifier_user.read) as store:
            if not store.is_current():
                raise Transient(
                    "case record: its tables are not those of this version; stopit-notifier brings them up to date"
                    " when it starts"
                )
            yield store


@contextmanager
def opened_ledger(settings: config.LedgerStore, read: ReadSecret) -> Iterator[Ledger]:
    """The ledger, and closed again. Raises ConfigError, Transient."""
    _must_exist(settings.url)
    with closing(open_ledger(settings, read)) as ledger:
        yield ledger


@contextmanager
def opened_queue(settings: config.QueueStore, read: ReadSecret) -> Iterator[Queue]:
    """The queue, and closed again. Raises ConfigError, Transient."""
    _must_exist(settings.url)
    with closing(open_queue(settings, read)) as queue:
        yield queue


@contextmanager
def opened_cases(settings: config.Cases, read: ReadSecret) -> Iterator[CaseStore]:
    """The case record, and closed again. Raises Transient."""
    _must_exist(settings.url)
    with closing(open_cases(settings, read)) as store:
        yield store


def sqlite_file(url: str) -> Path | None:
    """The file that a sqlite:////path URL names; None for another kind of URL."""
    return Path(url.removeprefix(_SQLITE)) if url.startswith(_SQLITE) else None


def _must_exist(url: str) -> None:
    path = sqlite_file(url)
    if path is None:
        return
    try:
        path.stat()
    except FileNotFoundError:
        raise Transient(f"sqlite {path}: there is no such file yet; the daemons make it when they start") from None
    except OSError as error:
        raise Transient(f"sqlite {path}: {error.strerror}") from error
