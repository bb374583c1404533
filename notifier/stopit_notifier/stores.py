"""The stores of a notifier: the case record, the queue of reports and the ledger."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial

from stopit_core.cases import CaseStore
from stopit_core.config import Settings
from stopit_core.daemon.logs import Log
from stopit_core.errors import Transient
from stopit_core.open_stores import open_cases, open_ledger, open_queue, queue_durability_faults
from stopit_core.stores.ledger import Ledger
from stopit_core.stores.queue import Queue

__all__ = ["Stores"]


@dataclass(frozen=True, slots=True)
class Stores:
    """The stores that one notifier works on.

    `queue_faults` returns the settings of the queue's server that could lose a report. It raises Transient when the
    server is away, and NotAllowed when the server does not show its settings.
    """

    cases: CaseStore
    queue: Queue
    ledger: Ledger
    queue_faults: Callable[[], Collection[str]]

    @classmethod
    def open(cls, settings: Settings) -> Stores:
        """Open the stores of the settings. Connects to nothing yet. Raises ConfigError."""
        return cls(
            open_cases(settings.cases),
            open_queue(settings.queue),
            open_ledger(settings.ledger),
            partial(queue_durability_faults, settings.queue),
        )

    def prepare(self, log: Log) -> None:
        """Bring the tables of the case record up to date, and log which settings of the queue could lose a report.

        Raises Transient when the case record is away.
        """
        self.cases.migrate()
        try:
            for fault in self.queue_faults():
                log.warning("the queue may lose reports", fault=fault)
        except Transient:
            return  # the next claim reports it

    def close(self) -> None:
        """Close all three."""
        for store in (self.queue, self.ledger, self.cases):
            store.close()
