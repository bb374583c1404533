"""The notifier's one loop: take reports, send messages, keep the gauges, and outlive every store that is away.

One thread does everything but talk to the MTA about a batch of acknowledgements (`pool`), which goes on while the
next reports are decided. So nothing here needs a lock, and a turn of the loop that ends is a daemon that is not
stuck. In each turn a few reports and a few messages get their share, so that
neither a flood of flags nor a slow MTA holds up the other for long.

A fault ends a stage, not the turn. It is counted and logged, and after it the loop first asks whether the stores that
a report needs are there, before it claims another one: a claim that comes to nothing costs the report one of its
deliveries, and a database that is away for an hour must not fill the dead messages.

Reports are claimed in batches. One that comes a second time was in hand when a notifier died, and perhaps is what it
died of: so each batch has at most one such report, and it is taken last, lest it use up the deliveries of others.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum

from stopit_core.daemon.logs import Log
from stopit_core.errors import Transient
from stopit_core.metrics import NotifierMetrics
from stopit_core.stores.queue import Queue
from stopit_notifier.gauges import Gauges
from stopit_notifier.reports.intake import Intake
from stopit_notifier.sending.outbox import Outbox
from stopit_notifier.sending.watchlist import Watchlist

__all__ = ["Loop", "LoopStage"]

_BATCH = 256
_SHARE = 8
_LONGEST_WAIT = 1.0
_SHORTEST_WAIT = 0.05
_AFTER_FAULT = 1.0


class LoopStage(StrEnum):
    """The stages of a turn, as `stopit_notifier_faults_total` labels them."""

    INTAKE = "intake"
    OUTBOX = "outbox"
    GAUGES = "gauges"


class Loop:
    """Does a notifier's work, turn by turn.

    `prepare` makes the case record ready, and `ledger_answers` returns when the ledger does: both raise Transient
    when not. `lease`: seconds that a claimed report is ours. `private` makes text fit for a log. `go_on` is asked
    after each piece of work: it may tell the watchdog, and says no when the daemon is to end. `sleep` waits so many
    seconds, or less.
    """

    def __init__(
        self,
        queue: Queue,
        intake: Intake,
        outbox: Outbox,
        watchlist: Watchlist,
        gauges: Gauges,
        metrics: NotifierMetrics,
        log: Log,
        *,
        consumer: str,
        lease: Callable[[], float],
        prepare: Callable[[], None],
        ledger_answers: Callable[[], None],
        private: Callable[[str], str],
        go_on: Callable[[], bool],
        clock: Callable[[], float],
        sleep: Callable[[float], object],
    ) -> None:
        self._queue = queue
        self._intake = intake
        self._outbox = outbox
        self._watchlist = watchlist
        self._gauges = gauges
        self._metrics = metrics
        self._log = log
        self._consumer = consumer
        self._lease = lease
        self._prepare = prepare
        self._ledger_answers = ledger_answers
        self._private = private
        self._go_on = go_on
        self._clock = clock
        self._sleep = sleep
        self._trouble: dict[LoopStage, str] = {}
        self._before: dict[LoopStage, str] = {}
        self._in_doubt = True
        self._more_reports = False
        self._wait = 0.0

    @property
    def status(self) -> str:
        """What the loop does, or waits for, in a few words for the service manager."""
        return self.trouble or "takes reports and sends messages"

    @property
    def trouble(self) -> str:
        """What the last turn failed at; "" when at nothing."""
        return "; ".join(f"{stage} waits: {why}" for stage, why in self._trouble.items())[:500]

    def turn(self) -> None:
        """One round: some reports, some messages, the gauges. Waits up to a second when there is nothing to do."""
        self._before, self._trouble = self._trouble, {}
        self._work()
        if self._trouble:
            self._wait = 0.0
            self._sleep(_AFTER_FAULT)
            return
        if self._before:
            self._log.info("all is well again")
        self._metrics.last_success.set(self._clock())

    def _work(self) -> None:
        if self._in_doubt:
            with self._faults(LoopStage.INTAKE):
                self._prepare()
            if self._trouble:
                return  # without the case record there is nothing to do
        for stage, work in (
            (LoopStage.INTAKE, self._take_reports),
            (LoopStage.OUTBOX, self._send_messages),
            (LoopStage.OUTBOX, self._outbox.recover),
            (LoopStage.OUTBOX, self._watchlist.sync),
            (LoopStage.GAUGES, self._gauges.refresh),
        ):
            with self._faults(stage):
                work()
            if not self._go_on():
                return

    def _take_reports(self) -> None:
        if self._in_doubt:
            self._ledger_answers()
            self._in_doubt = False
        deliveries = self._queue.claim(self._consumer, _BATCH, self._lease(), self._wait, again=1)
        self._more_reports = len(deliveries) == _BATCH
        left = self._intake.handle_together(deliveries)
        for delivery in sorted(left, key=lambda each: each.attempts):
            with self._faults(LoopStage.INTAKE):
                self._intake.handle(delivery)
            if self._in_doubt or not self._go_on():
                break  # the rest come again when their lease has passed

    def _send_messages(self) -> None:
        more = True
        for _ in range(_SHARE):
            more = self._outbox.run_once(patient=not self._more_reports)
            if not (self._go_on() and more):
                break
        self._wait = 0.0 if more or self._more_reports else self._until_next_due()

    def _until_next_due(self) -> float:
        due_at = self._outbox.next_due()
        wait = _LONGEST_WAIT if due_at is None else due_at - self._clock()
        return min(max(wait, _SHORTEST_WAIT), _LONGEST_WAIT)

    @contextmanager
    def _faults(self, stage: LoopStage) -> Iterator[None]:
        """Nothing that goes wrong in here goes further."""
        try:
            yield
        except Transient as error:
            self._note(stage, self._private(str(error)))
        except Exception as error:  # noqa: BLE001  a bug in one report's handling must not stop all the others
            self._note(stage, type(error).__name__)
            self._log.error("unexpected", stage=stage.value, trace=self._private(traceback.format_exc()))

    def _note(self, stage: LoopStage, why: str) -> None:
        self._in_doubt = self._in_doubt or stage is LoopStage.INTAKE
        self._trouble[stage] = why
        self._metrics.faults.labels(stage.value).inc()
        if self._before.get(stage) != why:
            self._log.warning("fault, is tried again", stage=stage.value, error=why)
