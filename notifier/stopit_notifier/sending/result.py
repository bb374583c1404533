"""What became of a message, written down: on the record, in the metrics, in the log, and to staff where it failed.

The record first, in one transaction with all that belongs to it; the rest after its commit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stopit_core.cases import CaseStore, Message, Party, Sending
from stopit_core.daemon.logs import Log, without_addresses
from stopit_core.daemon.systemd import Live
from stopit_core.errors import Transient
from stopit_core.metrics import NotifierMetrics, SendResult
from stopit_core.outgoing.facts import AlertFacts, AlertKind, MessageKind
from stopit_notifier.alerts import alert
from stopit_notifier.configuration import NotifierContext
from stopit_notifier.failpoints import Failpoint, FailpointHook
from stopit_notifier.sending.watchlist import Watchlist, pairs_of

__all__ = ["ResultRecorder"]


class ResultRecorder:
    """Writes down how an attempt to send ended. Each method raises Transient when the record is away."""

    def __init__(
        self,
        store: CaseStore,
        watchlist: Watchlist,
        live: Live[NotifierContext],
        metrics: NotifierMetrics,
        log: Log,
        *,
        clock: Callable[[], float],
        failpoint: FailpointHook,
    ) -> None:
        self._store = store
        self._watchlist = watchlist
        self._live = live
        self._metrics = metrics
        self._log = log
        self._clock = clock
        self._failpoint = failpoint

    def sent(self, message: Message, at: float) -> None:
        """The MTA took it at `at`. From a notice on, its pairs are watched: in the same transaction."""
        context = self._live.current
        until = at + context.rules.cooldown
        with self._store.sending() as sending:
            if not sending.sent(message, at):
                return
            notice = message.party is Party.SENDER
            pairs = pairs_of(message, sending, context.people) if notice else frozenset()
            sending.watch(pairs, message.case_id, at, until)
            self._failpoint(Failpoint.BEFORE_MARK)
        self._failpoint(Failpoint.MARKED_SENT)
        self._note_sent(message)
        try:
            self._watchlist.watch(pairs, until)
        except Transient as error:  # the next sync tells the ledger
            self._log.warning("ledger doesn't watch the pairs yet", error=str(error), **_names(message))
        self._failpoint(Failpoint.WATCHED)

    def all_sent(self, taken: Sequence[tuple[Message, float]]) -> None:
        """The MTA took each of these at its time; none is a notice."""
        with self._store.sending() as sending:
            marked = sending.all_sent(taken)
            self._failpoint(Failpoint.BEFORE_MARK)
        self._failpoint(Failpoint.MARKED_SENT)
        for message in marked:
            self._note_sent(message)
        self._failpoint(Failpoint.WATCHED)

    def put_off(self, message: Message, error: str, again_at: float) -> None:
        """It was not sent, and is tried again at `again_at`."""
        with self._store.sending() as sending:
            if not sending.put_back(message, error, again_at):
                return
        self._count(message, SendResult.DEFERRED)
        self._say("put off", message, error, again_at=round(again_at))

    def unanswered(self, message: Message, error: str) -> None:
        """The MTA has all of it and said nothing: the ledger will tell."""
        with self._store.sending() as sending:
            sending.unanswered(message, error)
        self._say("not answered, the ledger will tell", message, error)

    def failed(self, message: Message, error: str) -> None:
        """It cannot be sent, ever: staff are told."""
        with self._store.sending() as sending:
            if not sending.failed(message, error, self._clock()):
                return
            self._tell_staff(sending, message, AlertKind.NOT_SENT, error)
        self._count(message, SendResult.FAILED)
        self._say("could not be sent", message, error, grave=True)

    def unclear(self, message: Message, error: str) -> None:
        """Nobody can tell whether it was sent, and it is not sent again: staff are told."""
        with self._store.sending() as sending:
            if not sending.unclear(message, error, self._clock()):
                return
            self._tell_staff(sending, message, AlertKind.UNCLEAR, error)
        self._count(message, SendResult.UNCLEAR)
        self._say("unclear whether it was sent", message, error, grave=True)

    def _tell_staff(self, sending: Sending, message: Message, kind: AlertKind, error: str) -> None:
        if message.party is Party.STAFF:  # an alert about an alert would go the same way
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
        alert(sending.work, context.renderer, context.staff_address, case, facts, self._clock(), observed=False)

    def _note_sent(self, message: Message) -> None:
        self._count(message, SendResult.SENT)
        recipient = self._live.current.people.keyring.log(message.recipient)
        self._log.info("sent", recipient=recipient, **_names(message))

    def _count(self, message: Message, result: SendResult) -> None:
        self._metrics.sent.labels(message.kind, result.value).inc()

    def _say(self, event: str, message: Message, error: str, *, grave: bool = False, **more: object) -> None:
        text = without_addresses(error, self._live.current.people.keyring)
        say = self._log.error if grave else self._log.warning
        say(event, error=text, **_names(message), **more)


def _names(message: Message) -> dict[str, object]:
    return {"ref": message.ref, "kind": message.kind, "attempt": message.attempts}
