"""Records the result of an attempt to send: in the case record, the metrics and the log, and to staff if it failed.

The case record comes first, in one transaction with everything that belongs to the result; the rest follows its
commit.
"""

from __future__ import annotations

from collections.abc import Sequence

from stopit_core.cases import MessageRow, Party, Sending
from stopit_core.clock import Time
from stopit_core.daemon.logs import Log, without_addresses
from stopit_core.daemon.systemd import Live
from stopit_core.errors import Transient
from stopit_core.metrics import NotifierMetrics, SendLabel
from stopit_core.outgoing.facts import AlertFacts, AlertKind, MessageKind
from stopit_notifier.alerts import alert
from stopit_notifier.configuration import NotifierContext
from stopit_notifier.failpoints import Failpoint, FailpointHook
from stopit_notifier.sending.watchlist import Watchlist, pairs_of
from stopit_notifier.stores import Stores

__all__ = ["ResultRecorder"]


class ResultRecorder:
    """Records the results of attempts to send. Each method raises Transient when the case record is away."""

    def __init__(
        self,
        stores: Stores,
        watchlist: Watchlist,
        live: Live[NotifierContext],
        metrics: NotifierMetrics,
        log: Log,
        time: Time,
        *,
        failpoint: FailpointHook,
    ) -> None:
        self._cases = stores.cases
        self._watchlist = watchlist
        self._live = live
        self._metrics = metrics
        self._log = log
        self._time = time
        self._failpoint = failpoint

    def sent(self, message: MessageRow, at: float) -> None:
        """Record that the MTA accepted it at `at`. The same transaction begins to watch the pairs of a notice."""
        context = self._live.current
        until = at + context.rules.cooldown
        with self._cases.sending() as sending:
            if not sending.sent(message, at):
                return
            notice = message.party is Party.SENDER
            pairs = pairs_of(message, sending, context.people) if notice else frozenset()
            sending.watch(pairs, message.case_id, at, until)
            self._failpoint(Failpoint.BEFORE_MARK)
        self._failpoint(Failpoint.MARKED_SENT)
        self._log_sent(message)
        try:
            self._watchlist.watch(pairs, until)
        except Transient as error:  # the next sync repeats it
            self._log.warning("ledger does not watch the pairs yet", error=str(error), **_names(message))
        self._failpoint(Failpoint.WATCHED)

    def all_sent(self, accepted: Sequence[tuple[MessageRow, float]]) -> None:
        """Record that the MTA accepted each of these at its time. None of them may be a notice."""
        with self._cases.sending() as sending:
            marked = sending.all_sent(accepted)
            self._failpoint(Failpoint.BEFORE_MARK)
        self._failpoint(Failpoint.MARKED_SENT)
        for message in marked:
            self._log_sent(message)
        self._failpoint(Failpoint.WATCHED)

    def put_off(self, message: MessageRow, error: str, again_at: float) -> None:
        """Record that it was not sent, and that the next attempt is at `again_at`."""
        with self._cases.sending() as sending:
            if not sending.put_back(message, error, again_at):
                return
        self._count(message, SendLabel.DEFERRED)
        self._log_failure("deferred, will retry", message, error, again_at=round(again_at))

    def unanswered(self, message: MessageRow, error: str) -> None:
        """Record that the MTA has all of it and has not replied: recovery asks the ledger."""
        with self._cases.sending() as sending:
            sending.unanswered(message, error)
        self._log_failure("no reply from the MTA, recovery will ask the ledger", message, error)

    def failed(self, message: MessageRow, error: str) -> None:
        """Record that it can never be sent, and alert staff."""
        with self._cases.sending() as sending:
            if not sending.failed(message, error, self._time.clock()):
                return
            self._alert_staff(sending, message, AlertKind.NOT_SENT, error)
        self._count(message, SendLabel.FAILED)
        self._log_failure("could not be sent", message, error, grave=True)

    def unclear(self, message: MessageRow, error: str) -> None:
        """Record that it may have been sent and is not sent again, and alert staff."""
        with self._cases.sending() as sending:
            if not sending.unclear(message, error, self._time.clock()):
                return
            self._alert_staff(sending, message, AlertKind.UNCLEAR, error)
        self._count(message, SendLabel.UNCLEAR)
        self._log_failure("unclear whether it was sent", message, error, grave=True)

    def _alert_staff(self, sending: Sending, message: MessageRow, kind: AlertKind, error: str) -> None:
        if message.party is Party.STAFF:  # an alert about an alert would fail in the same way
            return
        case = sending.work.case(message.case_id)
        reporter = message.recipient if message.party is Party.REPORTER else ""
        facts = AlertFacts(
            kind,
            case.number,
            reporter=reporter,
            sender=case.sender,
            sender_assurance=case.sender_assurance,
            message=MessageKind(message.kind),
            details=(error,),
        )
        context = self._live.current
        now = self._time.clock()
        alert(sending.work, context.renderer, context.staff_address, case, facts, now, observed=False)

    def _log_sent(self, message: MessageRow) -> None:
        self._count(message, SendLabel.SENT)
        recipient = self._live.current.people.keyring.log(message.recipient)
        self._log.info("sent", recipient=recipient, **_names(message))

    def _count(self, message: MessageRow, label: SendLabel) -> None:
        self._metrics.sent.labels(message.kind, label.value).inc()

    def _log_failure(
        self, event: str, message: MessageRow, error: str, *, grave: bool = False, **more: object
    ) -> None:
        text = without_addresses(error, self._live.current.people.keyring)
        write = self._log.error if grave else self._log.warning
        write(event, error=text, **_names(message), **more)


def _names(message: MessageRow) -> dict[str, object]:
    return {"ref": message.ref, "kind": message.kind, "attempt": message.attempts}
