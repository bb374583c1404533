"""From a claimed report to what is on record: case, decision, history and the messages to send, in one transaction.

The order is what makes it safe. Everything that is asked of others (the ledger) is asked before the transaction;
everything that follows is in it; the report is acknowledged after it. Killed before the commit, the report comes
again and nothing has happened; killed after it, the report comes again and `Work.take` knows it. So there is one
decision for a report, and one notice for a decision, because a notice is a row that the same commit wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stopit_core.cases import CaseStore
from stopit_core.errors import DecodeError
from stopit_core.ledger import Ledger
from stopit_core.logs import Log
from stopit_core.metrics import NotifierMetrics
from stopit_core.model import AnswerReport, ContactReport, Digest, FlagReport, Original, Trace
from stopit_core.queue import Delivery, Queue
from stopit_core.service import Live
from stopit_core.wire import decode_report
from stopit_notifier.answering import Answering
from stopit_notifier.deciding import Deciding
from stopit_notifier.judging import Judging
from stopit_notifier.steps import Probe, Step

__all__ = ["Intake"]


_LAG = 2.0
"""Seconds in which the trace of a message that passed just before its flag may still be on its way to the ledger."""
_LOOK_AGAIN = 0.2


class Intake:
    """Deals with reports, one at a time.

    `draw` gives a number in [0, 1) that places a notice in its delay; `sleep` waits so many seconds.
    """

    def __init__(
        self,
        store: CaseStore,
        queue: Queue,
        ledger: Ledger,
        live: Live[Judging],
        metrics: NotifierMetrics,
        log: Log,
        *,
        clock: Callable[[], float],
        draw: Callable[[], float],
        sleep: Callable[[float], object],
        probe: Probe,
    ) -> None:
        self._store = store
        self._queue = queue
        self._ledger = ledger
        self._live = live
        self._metrics = metrics
        self._log = log
        self._clock = clock
        self._draw = draw
        self._sleep = sleep
        self._probe = probe

    def handle(self, delivery: Delivery) -> None:
        """Deal with one report and acknowledge it; an unreadable one goes to the dead letters.

        Raises Transient when a store is away: the report is left, and comes again when its lease has passed.
        """
        self._probe(Step.REPORT_CLAIMED)
        try:
            report = decode_report(delivery.payload)
        except DecodeError as error:
            self._log.error("report is unreadable, set aside", delivery=delivery.id, error=str(error))
            self._queue.bury(delivery.id, str(error))
            return
        match report:
            case FlagReport():
                self._flag(report)
            case AnswerReport():
                self._answer(report)
            case ContactReport():
                self._contact(report)
        self._probe(Step.AFTER_COMMIT)
        self._queue.ack(delivery.id)
        self._probe(Step.ACKNOWLEDGED)

    def _flag(self, report: FlagReport) -> None:
        judging = self._live.current
        originals = report.originals or (Original(Digest(b"")),)
        self._let_ledger_catch_up(report, originals)
        traces = [self._traces(original.message) for original in originals]
        self._probe(Step.ORIGINALS_FOUND)
        now = self._clock()
        with self._store.work() as work:
            if not work.take(report.id, now):
                self._log.info("report was dealt with before", queue_id=report.queue_id, report=report.id)
                return
            deciding = Deciding(judging, work, now, self._draw)
            made = deciding.flag(report, list(zip(originals, traces, strict=True)))
            self._probe(Step.BEFORE_COMMIT)
        for each in made:
            self._metrics.decisions.labels(each.outcome.value, each.reason.value).inc()
            self._log.info(
                "decided", queue_id=report.queue_id, report=report.id, outcome=each.outcome.value,
                reason=each.reason.value, reporter=judging.people.keyring.log(report.reporter),
            )  # fmt: skip

    def _answer(self, report: AnswerReport) -> None:
        judging = self._live.current
        with self._store.work() as work:
            named = Answering.originals_in_doubt(judging, work, report)
        traces = {original: self._traces(original) for original in named}
        self._probe(Step.ORIGINALS_FOUND)
        now = self._clock()
        with self._store.work() as work:
            if not work.take(report.id, now):
                self._log.info("answer was dealt with before", queue_id=report.queue_id, report=report.id)
                return
            answering = Answering(judging, work, Deciding(judging, work, now, self._draw), now)
            kind, made = answering.take(report, traces)
            self._probe(Step.BEFORE_COMMIT)
        for each in made:
            self._metrics.decisions.labels(each.outcome.value, each.reason.value).inc()
        self._log.info("answer taken", queue_id=report.queue_id, report=report.id, answer=kind)

    def _contact(self, report: ContactReport) -> None:
        self._probe(Step.ORIGINALS_FOUND)
        with self._store.work() as work:
            known = work.take(report.id, self._clock())
            contact = work.contact(report.pair, report.at, report.queue_id) if known else None
            self._probe(Step.BEFORE_COMMIT)
        if contact is not None:
            self._metrics.contacts.inc()
            self._log.info("contact after a notice", queue_id=report.queue_id, contacts=contact.contacts)

    def _let_ledger_catch_up(self, report: FlagReport, originals: Sequence[Original]) -> None:
        """Wait for traces that are written behind, while the flag is so young that they may be on their way.

        Under a flood reports are older than that when they are taken, so that nobody can slow this down.
        """
        for _ in range(int(_LAG / _LOOK_AGAIN)):
            young = abs(self._clock() - report.at) < _LAG
            if not young or all(self._traces(each.message) for each in originals if each.message):
                return
            self._sleep(_LOOK_AGAIN)

    def _traces(self, message: Digest) -> list[Trace]:
        return self._ledger.find(message) if message else []
