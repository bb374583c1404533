"""The outputs of a session: reports to the queue or the spool, traces to the ledger, lines to the log.

A report is durable before `persist` returns. A trace is only passed on to be written later, so that no mail waits for
the ledger. The exception is Stopit's own mail: it waits until its trace is written, in this process, because after a
crash the outbox looks in the ledger whether the MTA took that message.
"""

from __future__ import annotations

from typing import NoReturn, Protocol

from stopit_core.daemon.logs import Log
from stopit_core.decision.context import DecisionContext
from stopit_core.decision.disposition import Disposition
from stopit_core.decision.tracing import traces_of
from stopit_core.decision.transaction import Transaction
from stopit_core.errors import Transient
from stopit_core.metrics import FlagResult, MilterMetrics, Stage
from stopit_core.model import AnswerReport, FlagReport, Report, Trace
from stopit_core.stores.queue.spool import StoredIn

__all__ = ["RefusedError", "Sinks"]

_FLUSH_SECONDS = 1.0
"""Longest time that own mail waits for its trace to be written, in seconds. Then it is accepted without."""

_FLAG_RESULT = {StoredIn.QUEUE: FlagResult.QUEUED, StoredIn.SPOOL: FlagResult.SPOOLED}


class RefusedError(Exception):
    """A report could not be made durable anywhere: the client must keep the message."""


class Reports(Protocol):
    """Stores reports (`queue.spool.DurableReports`)."""

    def put(self, report: Report) -> StoredIn:
        """Make the report durable. Return where it is. Raises Transient when neither queue nor spool takes it."""


class Traces(Protocol):
    """Takes traces to be written later (`trace_pipe.TraceSender`)."""

    def offer(self, trace: Trace) -> bool:
        """Take the trace to be written soon; never wait. Return False when it was dropped."""


class OwnTraces(Traces, Protocol):
    """Takes traces, and can wait until they are written (`ledger.writer.TraceWriter`)."""

    def flush(self, timeout: float) -> bool:
        """Wait until everything offered is written. Return False when it is not within `timeout` seconds."""


class Sinks:
    """The outputs of one worker. Any thread may use it."""

    def __init__(self, reports: Reports, traces: Traces, own: OwnTraces, metrics: MilterMetrics, log: Log) -> None:
        self._reports = reports
        self._traces = traces
        self._own = own
        self._metrics = metrics
        self._log = log

    def emit_trace(self, transaction: Transaction, context: DecisionContext) -> None:
        """Emit the traces of an ordinary message."""
        for trace in traces_of(transaction, context):
            self._traces.offer(trace)

    def persist(self, disposition: Disposition, context: DecisionContext) -> None:
        """Make the disposition's reports durable. Raises RefusedError when one of them cannot be stored."""
        if disposition.flag:
            self._persist_flag(disposition.flag, context)
        for answer in disposition.answers:
            self._persist_answer(answer, context)

    def emit(self, disposition: Disposition, queue_id: str) -> None:
        """Emit the traces of a message that was edited and is about to be accepted."""
        traces = self._own if disposition.flush else self._traces
        for trace in disposition.traces:
            traces.offer(trace)
        if disposition.flush and disposition.traces and not self._own.flush(_FLUSH_SECONDS):
            self._metrics.faults.labels(Stage.LEDGER.value).inc()
            self._log.warning("own message accepted before its trace was in the ledger", queue_id=queue_id)
        if disposition.edits.removed_fields and not disposition.flag:
            self._log.info("forged headers removed", queue_id=queue_id, count=len(disposition.edits.removed_fields))

    def _persist_flag(self, flag: FlagReport, context: DecisionContext) -> None:
        try:
            where = self._reports.put(flag)
        except Transient as error:
            self._metrics.flags.labels(flag.channel.value, FlagResult.REFUSED.value).inc()
            self._refuse(flag, error)
        self._metrics.flags.labels(flag.channel.value, _FLAG_RESULT[where].value).inc()
        self._log.info(
            "flag",
            queue_id=flag.queue_id,
            report=flag.id,
            channel=flag.channel.value,
            command=flag.command.value,
            reporter=context.keyring.log(flag.reporter),
            assurance=flag.reporter_assurance.name.lower(),
            originals=len(flag.originals),
            withheld=flag.withheld,
            observed=flag.observed,
            kept=where.value,
        )

    def _persist_answer(self, answer: AnswerReport, context: DecisionContext) -> None:
        try:
            where = self._reports.put(answer)
        except Transient as error:
            self._refuse(answer, error)
        self._log.info(
            "answer",
            queue_id=answer.queue_id,
            report=answer.id,
            author=context.keyring.log(answer.author),
            null_sender=answer.null_sender,
            observed=answer.observed,
            kept=where.value,
        )

    def _refuse(self, report: Report, error: Transient) -> NoReturn:
        self._metrics.faults.labels(Stage.REPORT.value).inc()
        self._log.error(
            "report refused: it can be kept nowhere", queue_id=report.queue_id, report=report.id, why=error
        )
        raise RefusedError from error
