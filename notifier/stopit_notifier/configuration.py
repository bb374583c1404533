"""The configuration in force, and its reload: it is replaced whole, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stopit_core.config import FlagWords, PolicyRules, Settings, Smtp, load
from stopit_core.credentials import read_password
from stopit_core.daemon.logs import Log
from stopit_core.daemon.systemd import Live, reload_settings
from stopit_core.errors import ConfigError, Fault
from stopit_core.identity.keys import KEY_BYTES, Keyring, read_key
from stopit_core.identity.people import People
from stopit_core.open_stores import open_cases, open_ledger, open_queue
from stopit_core.outgoing.render import Renderer

__all__ = ["NotifierConfiguration", "NotifierContext"]


@dataclass(frozen=True, slots=True)
class NotifierContext:
    """The site's people, rules and templates. No notice is sent to `own_addresses`: they are Stopit's own."""

    people: People
    rules: PolicyRules
    words: FlagWords
    renderer: Renderer
    report_address: str
    staff_address: str
    own_addresses: frozenset[str]

    @classmethod
    def of_site(cls, settings: Settings, keyring: Keyring) -> NotifierContext:
        """Read the alias file and the templates of these settings. Raises ConfigError with every fault."""
        campus = settings.campus
        renderer = Renderer.load(campus, settings.flag, settings.office, keyring, settings.notifier.templates)
        return cls(
            people=People.of_site(campus, settings.identity, keyring),
            rules=settings.policy,
            words=settings.flag,
            renderer=renderer,
            report_address=campus.report_address,
            staff_address=campus.staff_address,
            own_addresses=frozenset({campus.report_address, campus.staff_address}),
        )


class NotifierConfiguration:
    """The settings of one file, and the context that they and the files they name make."""

    def __init__(self, path: Path, settings: Settings, context: NotifierContext) -> None:
        self._path = path
        self.settings = settings
        self.context = Live(context)

    @classmethod
    def read(cls, path: Path) -> NotifierConfiguration:
        """Read this file. Raises ConfigError with every fault in it and in the files it names."""
        settings = load(path)
        return cls(path, settings, _context(settings))

    def reload(self, log: Log) -> bool:
        """Read the file again. Return False if it has faults: each is logged, and the old configuration stays."""
        settings = reload_settings(self.settings, lambda: load(self._path), log)
        if settings is None:
            return False
        try:
            context = _context(settings)
        except ConfigError as error:
            for fault in error.faults:
                log.error("reload refused, the old configuration stays in force", fault=str(fault))
            return False
        self.settings = settings
        self.context.swap(context)
        return True


def _context(settings: Settings) -> NotifierContext:
    """Make the context of these settings, and open what they name once. Raises ConfigError with every fault."""
    faults: list[Fault] = []
    keyring = Keyring(bytes(KEY_BYTES))  # in place of a key that cannot be read, to find the other faults too
    try:
        keyring = read_key(settings.ledger.key_file)
    except ConfigError as error:
        faults += error.faults
    made: list[NotifierContext] = []
    attempts: tuple[Callable[[], object], ...] = (
        lambda: made.append(NotifierContext.of_site(settings, keyring)),
        lambda: _read_smtp_password(settings.smtp),
        lambda: open_queue(settings.queue).close(),
        lambda: open_cases(settings.cases).close(),
        lambda: open_ledger(settings.ledger).close(),
    )
    for attempt in attempts:
        try:
            attempt()
        except ConfigError as error:
            faults += error.faults
    if faults:
        raise ConfigError(faults)
    return made[0]


def _read_smtp_password(settings: Smtp) -> None:
    """Read the password, to report a fault at start-up and not when the first message is due."""
    if settings.password_file is not None:
        read_password("smtp.password_file", settings.password_file)
