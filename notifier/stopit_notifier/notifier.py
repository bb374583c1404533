"""Builds a notifier from its parts, runs it, and applies a new configuration to it."""

from __future__ import annotations

import signal
import socket
from dataclasses import dataclass
from functools import partial
from types import FrameType

from prometheus_client import CollectorRegistry, ProcessCollector

from stopit_core.cases import CaseState
from stopit_core.clock import Time
from stopit_core.config import Settings
from stopit_core.daemon.http import Readiness
from stopit_core.daemon.logs import Log, without_addresses
from stopit_core.daemon.systemd import Notify
from stopit_core.decision.policy import pairs
from stopit_core.metrics import NotifierMetrics
from stopit_core.outgoing.facts import MessageKind
from stopit_notifier.configuration import NotifierConfiguration
from stopit_notifier.failpoints import FailpointHook, no_failpoint
from stopit_notifier.faults import Faults, LoopStage
from stopit_notifier.gauges import Gauges
from stopit_notifier.loop import Loop
from stopit_notifier.readiness import LoopPulse, StoreProbes, check_readiness
from stopit_notifier.reports.intake import Consumer, Intake
from stopit_notifier.sending.claim import ClaimId, StableReplicationId
from stopit_notifier.sending.outbox import Outbox, Terms
from stopit_notifier.sending.recovery import Recovery
from stopit_notifier.sending.result import ResultRecorder
from stopit_notifier.sending.watchlist import Watchlist
from stopit_notifier.smtp.client import SmtpClient
from stopit_notifier.smtp.pool import ConnectionPool
from stopit_notifier.stores import Stores

__all__ = ["Notifier", "build"]

_CONNECTIONS = 12
"""Connections to the MTA under a flood: more gain nothing, because the MTA is busy then."""


class Signals:
    """The signals of the service manager: end (SIGTERM, SIGINT), reload (SIGHUP). Only the main thread may `listen`.

    A handler only records a signal; the work in hand is finished first.
    """

    def __init__(self) -> None:
        self._ending = False
        self._reload = False

    def listen(self) -> None:
        """Record signals from now on."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self.note)

    def note(self, number: int, _frame: FrameType | None = None) -> None:
        """Record a signal."""
        if number == signal.SIGHUP:
            self._reload = True
        else:
            self._ending = True

    @property
    def ending(self) -> bool:
        """True once the program is to end."""
        return self._ending

    def reload_asked(self) -> bool:
        """Return True if a reload was asked for since the last call."""
        asked, self._reload = self._reload, False
        return asked


@dataclass(frozen=True)
class Notifier:
    """A notifier. `run` works until a signal ends it."""

    configuration: NotifierConfiguration
    stores: Stores
    outbox: Outbox
    loop: Loop
    metrics: NotifierMetrics
    pulse: LoopPulse
    readiness: Readiness
    signals: Signals
    notify: Notify
    log: Log
    time: Time
    failpoint: FailpointHook

    def run(self) -> None:
        """Work until SIGTERM or SIGINT, and close everything; SIGHUP reads the configuration again."""
        said = self.loop.status
        self.notify.ready(said)
        self.log.info("ready")
        try:
            while not self.signals.ending:
                if self.signals.reload_asked():
                    self._reload()
                self._turn()
                if self.loop.status != said:
                    said = self.loop.status
                    self.notify.status(said)
        finally:
            self.notify.stopping()
            self.outbox.close()
            self.stores.close()
            self.log.info("ended")

    def _turn(self) -> None:
        self.loop.turn()
        self.pulse.turned(self.loop.fault)
        now = self.time.clock()
        self.metrics.last_turn.set(now)
        if self.loop.fault is None:
            self.metrics.last_success.set(now)

    def _reload(self) -> None:
        self.notify.reloading()
        done = self.configuration.reload(self.log)
        if done:
            self.outbox.renew(_terms(self.configuration.settings, self.metrics, self.failpoint))
            self.log.info("configuration read again")
        self.metrics.reload_successful.set(1 if done else 0)
        self.notify.ready(self.loop.status)


def build(
    configuration: NotifierConfiguration,
    log: Log,
    notify: Notify,
    *,
    failpoint: FailpointHook = no_failpoint,
) -> Notifier:
    """Build a notifier of this configuration. Connects to nothing yet. Raises ConfigError."""
    settings, live = configuration.settings, configuration.context
    time = Time()
    signals = Signals()
    metrics = _metrics()
    stores = Stores.open(settings)
    claim_id = ClaimId.here()
    replication_id = StableReplicationId(stores.ledger.replication_id, time.monotonic)
    watchlist = Watchlist(stores, time)
    outbox = Outbox(
        stores,
        Recovery(stores, claim_id, time, failpoint=failpoint),
        ResultRecorder(stores, watchlist, live, metrics, log, time, failpoint=failpoint),
        live,
        _terms(settings, metrics, failpoint),
        lambda: claim_id.text(replication_id.current()),
        time,
        failpoint=failpoint,
    )
    intake = Intake(
        stores,
        # One name for a host: Redis keeps every name that it ever saw.
        Consumer(f"notifier@{claim_id.host}", lambda: configuration.settings.queue.lease),
        live,
        metrics,
        log,
        time,
        failpoint=failpoint,
        send_unrecorded=outbox.send_unrecorded,
    )
    pulse = LoopPulse(lambda: _longest_work(configuration.settings), time.monotonic)

    def go_on() -> bool:
        notify.alive()
        pulse.beat()
        return not signals.ending

    def private(text: str) -> str:
        return without_addresses(text, live.current.people.keyring)

    periodic = (
        (LoopStage.OUTBOX, outbox.recover),
        (LoopStage.OUTBOX, watchlist.sync),
        (LoopStage.GAUGES, Gauges(stores, metrics, time).refresh),
    )
    loop = Loop(partial(stores.prepare, log), intake, outbox, periodic, Faults(metrics, log, private), time, go_on)
    probes = StoreProbes({"case record": stores.cases.ping, "queue": stores.queue.ping, "ledger": stores.ledger.ping})
    readiness = Readiness(partial(check_readiness, pulse, probes, private), time.monotonic)
    return Notifier(
        configuration, stores, outbox, loop, metrics, pulse, readiness, signals, notify, log, time, failpoint
    )


def _longest_work(settings: Settings) -> float:
    """Return the seconds of the longest piece of work: a send to an MTA that does not answer."""
    return settings.smtp.timeout + settings.notifier.settle


def _terms(settings: Settings, metrics: NotifierMetrics, failpoint: FailpointHook) -> Terms:
    notifier = settings.notifier
    took = metrics.send_duration.observe
    clients = [
        SmtpClient(settings.smtp, socket.gethostname(), notifier.settle, failpoint, took=took)
        for _ in range(_CONNECTIONS)
    ]
    return Terms(ConnectionPool(clients), notifier.settle, notifier.give_up)


def _metrics() -> NotifierMetrics:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return NotifierMetrics(
        registry, pairs(), [kind.value for kind in MessageKind], [state.value for state in CaseState]
    )
