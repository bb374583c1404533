"""A notifier put together: which part is given what, and what of it changes with the configuration."""

from __future__ import annotations

import random
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import FrameType

from prometheus_client import CollectorRegistry, ProcessCollector

from stopit_core.cases import CaseState, CaseStore
from stopit_core.config import Settings
from stopit_core.daemon.http import Readiness
from stopit_core.daemon.logs import Log, without_addresses
from stopit_core.daemon.systemd import Notify
from stopit_core.decision.policy import pairs
from stopit_core.errors import Transient
from stopit_core.metrics import HttpMetrics, NotifierMetrics
from stopit_core.open_stores import open_cases, open_ledger, open_queue, queue_durability_faults
from stopit_core.outgoing.facts import MessageKind
from stopit_core.stores.ledger import Ledger
from stopit_core.stores.queue import Queue
from stopit_notifier.configuration import NotifierConfiguration
from stopit_notifier.failpoints import FailpointHook, no_failpoint
from stopit_notifier.gauges import Gauges
from stopit_notifier.loop import Loop
from stopit_notifier.readiness import LoopPulse, Stores, look
from stopit_notifier.reports.intake import Intake
from stopit_notifier.sending.claim import ClaimId, StableReplicationId
from stopit_notifier.sending.outbox import Outbox, Terms
from stopit_notifier.sending.recovery import Recovery
from stopit_notifier.sending.result import ResultRecorder
from stopit_notifier.sending.watchlist import Watchlist
from stopit_notifier.smtp.client import SmtpClient
from stopit_notifier.smtp.pool import ConnectionPool

__all__ = ["Notifier", "build"]

_CONNECTIONS = 12
"""Connections to the MTA under a flood: more gain nothing, because the MTA is busy then."""


class Signals:
    """The signals of the service manager: end (SIGTERM, SIGINT), reload (SIGHUP). Only the main thread may `listen`.

    A handler only makes a note of a signal, and the work in hand is finished first.
    """

    def __init__(self) -> None:
        self._ending = False
        self._reload = False

    def listen(self) -> None:
        """Take note of signals from now on."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self.note)

    def note(self, number: int, _frame: FrameType | None = None) -> None:
        """A signal came."""
        if number == signal.SIGHUP:
            self._reload = True
        else:
            self._ending = True

    @property
    def ending(self) -> bool:
        """Whether the program is to end."""
        return self._ending

    def reload_asked(self) -> bool:
        """Whether a reload was asked for since the last call."""
        asked, self._reload = self._reload, False
        return asked


@dataclass(frozen=True)
class Notifier:
    """One notifier. `run` does its work until a signal ends it."""

    configuration: NotifierConfiguration
    store: CaseStore
    queue: Queue
    ledger: Ledger
    outbox: Outbox
    loop: Loop
    metrics: NotifierMetrics
    door: HttpMetrics
    pulse: LoopPulse
    readiness: Readiness
    signals: Signals
    notify: Notify
    log: Log
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
                self.loop.turn()
                self.pulse.turned(self.loop.trouble)
                self.metrics.last_turn.set(time.time())
                if self.loop.status != said:
                    said = self.loop.status
                    self.notify.status(said)
        finally:
            self.notify.stopping()
            for part in (self.outbox, self.queue, self.ledger, self.store):
                part.close()
            self.log.info("ended")

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
    clock: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
) -> Notifier:
    """A notifier of this configuration. Connects to nothing yet. `failpoint` is called at each failpoint."""
    settings, context = configuration.settings, configuration.context
    draw = random.SystemRandom().random
    signals = Signals()
    metrics = _metrics()
    store = open_cases(settings.cases)
    queue = open_queue(settings.queue)
    ledger = open_ledger(settings.ledger)
    claim_id = ClaimId.here()
    watchlist = Watchlist(store, ledger, clock, monotonic)
    recorder = ResultRecorder(store, watchlist, context, metrics, log, clock=clock, failpoint=failpoint)
    recovery = Recovery(store, ledger, claim_id, monotonic=monotonic, failpoint=failpoint)
    outbox = Outbox(
        store,
        recovery,
        recorder,
        context,
        _terms(settings, metrics, failpoint),
        claim_id,
        StableReplicationId(ledger.replication_id, monotonic),
        clock=clock,
        monotonic=monotonic,
        draw=draw,
        failpoint=failpoint,
    )
    intake = Intake(
        store,
        queue,
        ledger,
        context,
        metrics,
        log,
        clock=clock,
        draw=draw,
        sleep=time.sleep,
        failpoint=failpoint,
        send_aside=outbox.send_aside,
    )
    durability = partial(queue_durability_faults, settings.queue)
    gauges = Gauges(store, queue, metrics, durability, clock=clock, monotonic=monotonic)
    pulse = LoopPulse(lambda: _longest_work(configuration.settings), monotonic)

    def go_on() -> bool:
        notify.alive()
        pulse.beat()
        return not signals.ending

    def private(text: str) -> str:
        return without_addresses(text, context.current.people.keyring)

    loop = Loop(
        queue,
        intake,
        outbox,
        watchlist,
        gauges,
        metrics,
        log,
        consumer=f"notifier@{claim_id.host}",  # one name a host: Redis keeps every name that it ever saw
        lease=lambda: configuration.settings.queue.lease,
        prepare=partial(_prepare, store, settings, log),
        ledger_answers=ledger.ping,
        private=private,
        go_on=go_on,
        clock=clock,
        sleep=time.sleep,
    )
    stores = Stores({"case record": store.ping, "queue": queue.ping, "ledger": ledger.ping})
    readiness = Readiness(partial(look, pulse, stores, private), monotonic)
    return Notifier(
        configuration,
        store,
        queue,
        ledger,
        outbox,
        loop,
        metrics,
        HttpMetrics(metrics.registry),
        pulse,
        readiness,
        signals,
        notify,
        log,
        failpoint,
    )


def _prepare(store: CaseStore, settings: Settings, log: Log) -> None:
    """The case record's tables are up to date when this returns; the queue server's settings were looked at."""
    store.migrate()
    try:
        for fault in queue_durability_faults(settings.queue):
            log.warning("the queue may lose reports", fault=fault)
    except Transient:
        return  # the loop will find that it is away


def _longest_work(settings: Settings) -> float:
    """Seconds: a send to an MTA that answers nothing."""
    return settings.smtp.timeout + settings.notifier.settle


def _terms(settings: Settings, metrics: NotifierMetrics, failpoint: FailpointHook) -> Terms:
    notifier = settings.notifier
    clients = [
        SmtpClient(
            settings.smtp, socket.gethostname(), notifier.settle, failpoint, took=metrics.send_duration.observe
        )
        for _ in range(_CONNECTIONS)
    ]
    return Terms(ConnectionPool(clients), notifier.settle, notifier.give_up)


def _metrics() -> NotifierMetrics:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return NotifierMetrics(
        registry, pairs(), [kind.value for kind in MessageKind], [state.value for state in CaseState]
    )
