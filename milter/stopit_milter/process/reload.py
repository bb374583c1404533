"""The configuration of a process, and its reload: a new one is taken as a whole, or not at all."""

from __future__ import annotations

from pathlib import Path

from stopit_core.config import Settings, load
from stopit_core.daemon.logs import Log
from stopit_core.daemon.systemd import Live, reload_settings
from stopit_core.decision.context import DecisionContext
from stopit_core.errors import ConfigError, Fault
from stopit_core.metrics import MilterMetrics
from stopit_core.open_stores import open_ledger, open_queue
from stopit_core.stores.ledger import Ledger
from stopit_core.stores.queue import Queue
from stopit_milter.process.control import ControlMessage

__all__ = ["ActiveConfiguration", "MilterConfiguration"]


class MilterConfiguration:
    """The settings of one file, and the decision context made of them."""

    def __init__(self, path: Path, settings: Settings, context: DecisionContext) -> None:
        self._path = path
        self.settings = settings
        self.context = context

    @classmethod
    def read(cls, path: Path) -> MilterConfiguration:
        """Read the configuration in this file. Raises ConfigError with every fault in it and in files it names."""
        settings = load(path)
        faults: list[Fault] = []
        context = None
        try:
            context = DecisionContext.of(settings)
        except ConfigError as error:
            faults += error.faults
        faults += _store_faults(settings)
        if context is None or faults:
            raise ConfigError(faults)
        return cls(path, settings, context)

    def reload(self, log: Log, *, warn: bool = True) -> bool:
        """Read the file again. When it is faulty, log each fault, change nothing and return False.

        The warnings about the file are logged if `warn` is true.
        """
        settings = reload_settings(self.settings, lambda: load(self._path), log, warn=warn)
        if settings is None:
            return False
        try:
            context = DecisionContext.of(settings)
        except ConfigError as error:
            for fault in error.faults:
                log.error("reload refused, the old configuration stays in force", fault=str(fault))
            return False
        self.settings, self.context = settings, context
        return True


class ActiveConfiguration:
    """The context in force in a child (`live`). `refused`: the last reload before its start was refused."""

    def __init__(self, configuration: MilterConfiguration, metrics: MilterMetrics, log: Log, refused: bool) -> None:
        self.live = Live(configuration.context)
        self._configuration = configuration
        self._metrics = metrics
        self._log = log
        metrics.reload_successful.set(int(not refused))

    def handle(self, message: ControlMessage) -> None:
        """Reload at the parent's message RELOAD; at RELOAD_REFUSED, only set the metric.

        The parent has read the same file before, and has logged the warnings.
        """
        held = message is ControlMessage.RELOAD and self._configuration.reload(self._log, warn=False)
        if held:
            self.live.swap(self._configuration.context)
        self._metrics.reload_successful.set(int(held))


def _store_faults(settings: Settings) -> list[Fault]:
    """Return the faults of the stores' URLs. No file and no connection is opened."""

    def ledger() -> Ledger | Queue:
        return open_ledger(settings.ledger)

    def queue() -> Ledger | Queue:
        return open_queue(settings.queue)

    faults: list[Fault] = []
    for make in (ledger, queue):
        try:
            make().close()
        except ConfigError as error:
            faults += error.faults
    return faults
