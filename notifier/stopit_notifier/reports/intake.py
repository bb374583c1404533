"""From claimed reports to what is on record: cases, decisions, history and the messages to send, in one transaction.

The order is what makes it safe. Everything that is asked of others (the ledger) is asked before the transaction;
everything that follows is in it; the report is acknowledged after it. Killed before the commit, the report comes
again and nothing has happened; killed after it, the report comes again and `Work.take` knows it. So there is one
decision for a report, and one notice for a decision, because a notice is a row that the same commit wrote.

Flags that are claimed together are decided together: one transaction, in which each sees what the ones before it led
to, and one commit. Ten thousand members who flag one message cost its ledger lookup and its commit once for each
batch. When anything in a batch fails, nothing of it has happened, and each is taken by itself: a report that cannot
be dealt with holds up no other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

from stopit_core.cases import CaseStore
from stopit_core.daemon.logs import Log, without_addresses
from stopit_core.daemon.systemd import Live
from stopit_core.decision.identify import Passes
from stopit_core.decision.policy import Decision
from stopit_core.errors import DecodeError
from stopit_core.identity.people import People
from stopit_core.metrics import NotifierMetrics
from stopit_core.model import AnswerReport, ContactReport, Digest, FlagReport, Original, Trace
from stopit_core.outgoing.self_test import SelfTest
from stopit_core.stores.ledger import Ledger
from stopit_core.stores.queue import Delivery, Queue
from stopit_core.wire import decode_report
from stopit_notifier.configuration import NotifierContext
from stopit_notifier.failpoints import Failpoint, FailpointHook
from stopit_notifier.reports.answers import AnswerHandler
from stopit_notifier.reports.flags import FlagHandler
from stopit_notifier.smtp.client import End, SmtpMessage

__all__ = ["Intake"]


_LAG = 2.0
"""Seconds in which the trace of a message that passed just before its flag may still be on its way to the ledger."""
_LOOK_AGAIN = 0.2
_NO_MESSAGE = Digest(b"")


class Intake:
    """Deals with reports.

    `draw` gives a number in [0, 1) that places a notice in its delay; `sleep` waits so many seconds.
    `send_aside` sends what is on no record: the answer to a self_test.
    """

    def __init__(
        self,
        store: CaseStore,
        queue: Queue,
        ledger: Ledger,
        live: Live[NotifierContext],
        metrics: NotifierMetrics,
        log: Log,
        *,
        clock: Callable[[], float],
        draw: Callable[[], float],
        sleep: Callable[[float], object],
        failpoint: FailpointHook,
        send_aside: Callable[[SmtpMessage], End],
        monotonic: Callable[[], float] = time.monotonic,
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
        self._failpoint = failpoint
        self._send_aside = send_aside
        self._monotonic = monotonic
        self._known: dict[Original, Passes] = {}

    def handle_together(self, deliveries: Sequence[Delivery]) -> list[Delivery]:
        """Deal with the new flags among these at once, and acknowledge them; what is left is for `handle`.

        That is all of them when something failed: then nothing was done. Raises Transient when they could not be
        acknowledged: they come again, and are known.
        """
        flags = dict(_flags_among(deliveries))
        if len(flags) < 2:
            return list(deliveries)
        began = self._monotonic()
        for _ in flags:
            self._failpoint(Failpoint.REPORT_CLAIMED)
        try:
            self._flags(list(flags.values()))
        except Exception:  # noqa: BLE001  whatever it is, it shows again with the one report that it is of
            return list(deliveries)
        self._failpoint(Failpoint.AFTER_COMMIT)
        self._queue.ack_all(list(flags))
        self._failpoint(Failpoint.ACKNOWLEDGED)
        self._took(began, len(flags))
        return [delivery for delivery in deliveries if delivery.id not in flags]

    def handle(self, delivery: Delivery) -> None:
        """Deal with one report and acknowledge it; an unreadable one goes to the dead messages.

        Raises Transient when a store is away: the report is left, and comes again when its lease has passed.
        """
        self._failpoint(Failpoint.REPORT_CLAIMED)
        began = self._monotonic()
        try:
            report = decode_report(delivery.payload)
        except DecodeError as error:
            self._log.error("report is unreadable, set aside", delivery=delivery.id, error=str(error))
            self._queue.bury(delivery.id, str(error))
            return
        match report:
            case FlagReport():
                self._flags([report])
            case AnswerReport() if self._live.current.people.keyring.is_self_test(report.ref):
                self._self_test(report)
            case AnswerReport():
                self._answer(report)
            case ContactReport():
                self._contact(report)
        self._failpoint(Failpoint.AFTER_COMMIT)
        self._queue.ack(delivery.id)
        self._failpoint(Failpoint.ACKNOWLEDGED)
        self._took(began, 1)

    def _took(self, began: float, reports: int) -> None:
        """So many reports were dealt with together since then."""
        self._metrics.decision_duration.observe_all([(self._monotonic() - began) / reports] * reports)

    def _flags(self, reports: Sequence[FlagReport]) -> None:
        context = self._live.current
        traces = self._traces_of(reports)
        self._failpoint(Failpoint.ORIGINALS_FOUND)
        passes = self._passes(reports, traces, context.people)
        now = self._clock()
        made: dict[str, list[Decision]] = {}
        with self._store.work() as work:
            fresh = work.take_all([report.id for report in reports], now)
            flags = FlagHandler(context, work, now, self._draw)
            news = {report.id: report for report in reversed(reports) if report.id in fresh}
            named = [(report, [passes[each] for each in _originals(report)]) for report in reversed(news.values())]
            if len(named) > 1:
                flags.look_ahead(named)
            for report, originals in named:
                made[report.id] = flags.flag(report, originals)
            self._failpoint(Failpoint.BEFORE_COMMIT)
        self._metrics.report_age.observe_all([max(0.0, now - report.at) for report in reports if report.id in made])
        for report in reports:
            self._say(report, made.pop(report.id, []), context)

    def _say(self, report: FlagReport, made: Sequence[Decision], context: NotifierContext) -> None:
        if not made:
            self._log.info("report was dealt with before", queue_id=report.queue_id, report=report.id)
        for each in made:
            self._metrics.decisions.labels(each.outcome.value, each.reason.value).inc()
            self._log.info(
                "decided",
                queue_id=report.queue_id,
                report=report.id,
                outcome=each.outcome.value,
                reason=each.reason.value,
                reporter=context.people.keyring.log(report.reporter),
            )

    def _answer(self, report: AnswerReport) -> None:
        context = self._live.current
        with self._store.work() as work:
            named = AnswerHandler.originals_in_doubt(context, work, report)
        traces = {original: self._traces(original) for original in named}
        self._failpoint(Failpoint.ORIGINALS_FOUND)
        now = self._clock()
        with self._store.work() as work:
            if not work.take(report.id, now):
                self._log.info("answer was dealt with before", queue_id=report.queue_id, report=report.id)
                return
            handler = AnswerHandler(context, work, FlagHandler(context, work, now, self._draw), now)
            kind, made = handler.take(report, traces)
            self._failpoint(Failpoint.BEFORE_COMMIT)
        for each in made:
            self._metrics.decisions.labels(each.outcome.value, each.reason.value).inc()
        if handler.bounced:
            self._metrics.bounced.labels(handler.bounced).inc()
        self._log.info("answer taken", queue_id=report.queue_id, report=report.id, answer=kind)

    def _self_test(self, report: AnswerReport) -> None:
        """Answer a self-test, once: it is never tried again, and `doctor` sees that no answer comes."""
        context = self._live.current
        now = self._clock()
        self._failpoint(Failpoint.ORIGINALS_FOUND)
        with self._store.work() as work:
            fresh = work.take(report.id, now)
            self._failpoint(Failpoint.BEFORE_COMMIT)
        if fresh:
            self_test = SelfTest(context.people.keyring, context.report_address, report.ref)
            end = self._send_aside(self_test.answer(now))
            why = "" if end is True else without_addresses(str(end), context.people.keyring)
            self._log.info(
                "self-test answered", queue_id=report.queue_id, report=report.id, sent=end is True, error=why
            )

    def _contact(self, report: ContactReport) -> None:
        self._failpoint(Failpoint.ORIGINALS_FOUND)
        with self._store.work() as work:
            known = work.take(report.id, self._clock())
            contact = work.contact(report.pair, report.at, report.queue_id) if known else None
            self._failpoint(Failpoint.BEFORE_COMMIT)
        if contact is not None:
            self._metrics.contacts.inc()
            self._log.info("contact after a notice", queue_id=report.queue_id, contacts=contact.contacts)

    def _traces_of(self, reports: Sequence[FlagReport]) -> dict[Digest, list[Trace]]:
        """The traces of each original that these reports name.

        Traces are written behind, so they are waited for while a flag is so young that they may be on their way.
        Under a flood reports are older than that when they are taken, so that nobody can slow this down.
        """
        named = {each.message for report in reports for each in _originals(report)}
        traces = {message: self._traces(message) for message in named}
        for _ in range(int(_LAG / _LOOK_AGAIN)):
            young = [report for report in reports if abs(self._clock() - report.at) < _LAG]
            missing = {each.message for report in young for each in report.originals if not traces[each.message]}
            if not missing - {_NO_MESSAGE}:
                break
            self._sleep(_LOOK_AGAIN)
            traces |= {message: self._traces(message) for message in missing}
        return traces

    def _passes(
        self, reports: Sequence[FlagReport], traces: dict[Digest, list[Trace]], people: People
    ) -> dict[Original, Passes]:
        """What the passes of each original say. It is kept for the next batch, which may be of the same originals."""
        found: dict[Original, Passes] = {}
        for original in {each for report in reports for each in _originals(report)}:
            known = self._known.get(original)
            same = known is not None and known.are(traces[original.message], people)
            found[original] = known if known and same else Passes(original, traces[original.message], people)
        self._known = found
        return found

    def _traces(self, message: Digest) -> list[Trace]:
        return self._ledger.find(message) if message else []


def _flags_among(deliveries: Sequence[Delivery]) -> Iterator[tuple[str, FlagReport]]:
    """The flags that come for the first time, by their delivery's id."""
    for delivery in deliveries:
        if delivery.attempts > 1:
            continue
        with suppress(DecodeError):
            report = decode_report(delivery.payload)
            if isinstance(report, FlagReport):
                yield delivery.id, report


def _originals(report: FlagReport) -> Sequence[Original]:
    """What the report names; a flag that names nothing names no message."""
    return report.originals or (Original(_NO_MESSAGE),)
