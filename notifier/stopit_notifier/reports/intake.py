"""From claimed reports to the case record: cases, decisions, events and the messages to send, in one transaction.

The order makes it safe. The ledger is asked before the transaction; everything that follows from a report is in the
transaction; the report is acknowledged to the queue after it. After a crash before the commit the report comes again
and nothing has happened. After a crash after the commit the report comes again and `Work.take_all` knows it. So
there is one decision for a report, and one notice for a decision, because a notice is a row that the same commit
wrote.

Reports are handled in batches. Flags that are claimed for the first time make one batch: one transaction, in which
each sees the effects of the ones before it. When ten thousand members flag one message, the lookup in the ledger and
the commit are done once for a batch. Every other report is a batch of its own. When a batch fails, nothing of it has
happened; the loop then takes each of its reports alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stopit_core.clock import Time
from stopit_core.daemon.logs import Log, without_addresses
from stopit_core.daemon.systemd import Live
from stopit_core.decision.identify import Passes
from stopit_core.decision.policy import Decision
from stopit_core.errors import DecodeError
from stopit_core.identity.people import People
from stopit_core.mail.answers import read_answer
from stopit_core.metrics import NotifierMetrics
from stopit_core.model import AnswerReport, ContactReport, Digest, FlagReport, Original, Report, Trace
from stopit_core.outgoing.self_test import SelfTest
from stopit_core.stores.queue import Delivery
from stopit_core.wire import decode_report
from stopit_notifier.configuration import NotifierContext
from stopit_notifier.failpoints import Failpoint, FailpointHook
from stopit_notifier.reports.answers import AnswerHandler, originals_in_doubt
from stopit_notifier.reports.flags import FlagHandler
from stopit_notifier.smtp.client import SmtpMessage
from stopit_notifier.smtp.send_result import SendResult
from stopit_notifier.stores import Stores

__all__ = ["ClaimedReport", "Consumer", "Intake"]


_LAG = 2.0
"""Seconds within which the trace of a message that passed just before its flag may not be in the ledger yet."""
_LOOK_AGAIN = 0.2
_NO_MESSAGE = Digest(b"")


@dataclass(frozen=True, slots=True)
class Consumer:
    """The name under which reports are claimed; `lease` returns the seconds for which a claim holds."""

    name: str
    lease: Callable[[], float]


@dataclass(frozen=True, slots=True)
class ClaimedReport:
    """A delivery of the queue and the report in it, or the error of an unreadable one."""

    delivery: Delivery
    report: Report | DecodeError

    @classmethod
    def read(cls, delivery: Delivery) -> ClaimedReport:
        """Decode the report of a delivery."""
        try:
            return cls(delivery, decode_report(delivery.payload))
        except DecodeError as error:
            return cls(delivery, error)

    @property
    def is_new_flag(self) -> bool:
        """True for a flag on its first delivery."""
        return self.delivery.attempts <= 1 and isinstance(self.report, FlagReport)


class Intake:
    """Handles reports. `send_unrecorded` sends a message that is in no case: the answer to a self-test."""

    def __init__(
        self,
        stores: Stores,
        consumer: Consumer,
        live: Live[NotifierContext],
        metrics: NotifierMetrics,
        log: Log,
        time: Time,
        *,
        failpoint: FailpointHook,
        send_unrecorded: Callable[[SmtpMessage], SendResult],
    ) -> None:
        self._stores = stores
        self._consumer = consumer
        self._live = live
        self._metrics = metrics
        self._log = log
        self._time = time
        self._failpoint = failpoint
        self._send_unrecorded = send_unrecorded
        self._known_passes: dict[Original, Passes] = {}

    def check_ledger(self) -> None:
        """Return when the ledger answers. Raises Transient when it is away."""
        self._stores.ledger.ping()

    def claim(self, limit: int, wait: float) -> list[list[ClaimedReport]]:
        """Claim up to `limit` reports, in the batches in which they are to be handled; wait up to `wait` seconds.

        The new flags come first, the reports that are delivered again last. Raises Transient when the queue is away.
        """
        consumer = self._consumer
        deliveries = self._stores.queue.claim(consumer.name, limit, consumer.lease(), wait, again=1)
        claimed = [ClaimedReport.read(delivery) for delivery in deliveries]
        new_flags = [each for each in claimed if each.is_new_flag]
        others = sorted((each for each in claimed if not each.is_new_flag), key=lambda each: each.delivery.attempts)
        return [*([new_flags] if new_flags else []), *([each] for each in others)]

    def handle(self, batch: Sequence[ClaimedReport]) -> None:
        """Handle a batch of `claim`, or one report of it alone, and acknowledge it; bury an unreadable report.

        Raises Transient when a store is away. The reports then come again when their lease has passed.
        """
        for _ in batch:
            self._failpoint(Failpoint.REPORT_CLAIMED)
        began = self._time.monotonic()
        match batch:
            case [ClaimedReport(delivery, DecodeError() as error)]:
                event = "report is unreadable, moved to the dead letters"
                self._log.error(event, delivery=delivery.id, error=str(error))
                self._stores.queue.bury(delivery.id, str(error))
                return
            case [ClaimedReport(_, AnswerReport() as report)]:
                self._handle_answer(report)
            case [ClaimedReport(_, ContactReport() as report)]:
                self._handle_contact(report)
            case _:
                self._handle_flags([each.report for each in batch if isinstance(each.report, FlagReport)])
        self._failpoint(Failpoint.AFTER_COMMIT)
        self._stores.queue.ack_all([each.delivery.id for each in batch])
        self._failpoint(Failpoint.ACKNOWLEDGED)
        seconds = self._time.monotonic() - began
        self._metrics.decision_duration.observe_all([seconds / len(batch)] * len(batch))

    def _handle_flags(self, reports: Sequence[FlagReport]) -> None:
        context = self._live.current
        traces = self._traces_of(reports)
        self._failpoint(Failpoint.ORIGINALS_FOUND)
        passes = self._passes(reports, traces, context.people)
        now = self._time.clock()
        made: dict[str, list[Decision]] = {}
        with self._stores.cases.work() as work:
            taken = work.take_all([report.id for report in reports], now)
            handler = FlagHandler(context, work, now, self._time.draw)
            new: dict[str, FlagReport] = {}
            for report in reports:
                if report.id in taken:
                    new.setdefault(report.id, report)  # a retry by the client is the same report
            flags = [(report, [passes[each] for each in _originals(report)]) for report in new.values()]
            handler.look_ahead(flags)
            for report, originals in flags:
                made[report.id] = handler.flag(report, originals)
            self._failpoint(Failpoint.BEFORE_COMMIT)
        self._metrics.report_age.observe_all([max(0.0, now - report.at) for report in reports if report.id in made])
        for report in reports:
            self._log_decisions(report, made.pop(report.id, []), context)

    def _log_decisions(self, report: FlagReport, made: Sequence[Decision], context: NotifierContext) -> None:
        if not made:
            self._log.info("report was handled before", queue_id=report.queue_id, report=report.id)
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

    def _handle_answer(self, report: AnswerReport) -> None:
        context = self._live.current
        if context.people.keyring.is_self_test(report.ref):
            self._answer_self_test(report, context)
            return
        answer = read_answer(report.raw, report.null_sender, context.words)
        with self._stores.cases.work() as work:
            originals = originals_in_doubt(work, report, answer)
        traces = {original: self._traces(original) for original in originals}
        self._failpoint(Failpoint.ORIGINALS_FOUND)
        now = self._time.clock()
        with self._stores.cases.work() as work:
            if not work.take(report.id, now):
                self._log.info("answer was handled before", queue_id=report.queue_id, report=report.id)
                return
            handler = AnswerHandler(context, work, FlagHandler(context, work, now, self._time.draw), now)
            result = handler.handle(report, answer, traces)
            self._failpoint(Failpoint.BEFORE_COMMIT)
        for each in result.decisions:
            self._metrics.decisions.labels(each.outcome.value, each.reason.value).inc()
        if result.bounced is not None:
            self._metrics.bounced.labels(result.bounced).inc()
        self._log.info("answer handled", queue_id=report.queue_id, report=report.id, answer=result.kind.value)

    def _answer_self_test(self, report: AnswerReport, context: NotifierContext) -> None:
        """Answer a self-test once. A failed attempt is not repeated: `doctor` sees that no answer comes."""
        now = self._time.clock()
        self._failpoint(Failpoint.ORIGINALS_FOUND)
        with self._stores.cases.work() as work:
            new = work.take(report.id, now)
            self._failpoint(Failpoint.BEFORE_COMMIT)
        if not new:
            return
        keyring = context.people.keyring
        result = self._send_unrecorded(SelfTest(keyring, context.report_address, report.ref).answer(now))
        self._log.info(
            "self-test answered",
            queue_id=report.queue_id,
            report=report.id,
            sent=result.sent,
            error=without_addresses(result.error, keyring),
        )

    def _handle_contact(self, report: ContactReport) -> None:
        self._failpoint(Failpoint.ORIGINALS_FOUND)
        with self._stores.cases.work() as work:
            new = work.take(report.id, self._time.clock())
            contact = work.contact(report.pair, report.at, report.queue_id) if new else None
            self._failpoint(Failpoint.BEFORE_COMMIT)
        if contact is not None:
            self._metrics.contacts.inc()
            self._log.info("contact after a notice", queue_id=report.queue_id, contacts=contact.contacts)

    def _traces_of(self, reports: Sequence[FlagReport]) -> dict[Digest, list[Trace]]:
        """Return the traces of each original that these reports name.

        A trace is written shortly after its mail has passed, so a missing one is waited for while the flag is younger
        than `_LAG`. Under a flood, reports are older than that when they are claimed, so the wait delays no flood.
        """
        named = {each.message for report in reports for each in _originals(report)}
        traces = {message: self._traces(message) for message in named}
        for _ in range(int(_LAG / _LOOK_AGAIN)):
            young = [report for report in reports if abs(self._time.clock() - report.at) < _LAG]
            missing = {each.message for report in young for each in report.originals if not traces[each.message]}
            if not missing - {_NO_MESSAGE}:
                break
            self._time.sleep(_LOOK_AGAIN)
            traces |= {message: self._traces(message) for message in missing}
        return traces

    def _passes(
        self, reports: Sequence[FlagReport], traces: dict[Digest, list[Trace]], people: People
    ) -> dict[Original, Passes]:
        """Return the passes of each original. They are kept for the next batch, which may name the same originals."""
        found: dict[Original, Passes] = {}
        for original in {each for report in reports for each in _originals(report)}:
            known = self._known_passes.get(original)
            same = known is not None and known.same_as(traces[original.message], people)
            found[original] = known if known and same else Passes(original, traces[original.message], people)
        self._known_passes = found
        return found

    def _traces(self, message: Digest) -> list[Trace]:
        return self._stores.ledger.find(message) if message else []


def _originals(report: FlagReport) -> Sequence[Original]:
    """Return the originals that a flag names; for a flag that names none, the original of no message."""
    return report.originals or (Original(_NO_MESSAGE),)
