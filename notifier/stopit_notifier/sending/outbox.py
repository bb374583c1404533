"""The outbox: sends what is due, and never a notice twice for one decision.

A notice is one row, written by the commit that holds the decision, with its Message-ID; what is to be shown is that
the MTA takes a row at most once. Killed (-9) or stopped at any point:

1. before the claim's commit: nothing happened. The row is `pending`; whoever comes next begins anew.
2. from there to `begin` (MESSAGE_CLAIMED, CONNECTED, RECIPIENT_ACCEPTED): the row is `sending` without `data_at`.
   No byte of the message has left, because `begin` comes first. It is put back.
3. `begin` is a compare-and-swap on the claim. If another notifier put the row back meanwhile, because this one was
   stopped for long, it fails, and DATA is never said. If it succeeds, nobody puts the row back for twice `settle`.
4. from `begin` to the final dot (BEFORE_DATA, BEFORE_DOT): an MTA that has no dot drops what it has. A process that
   was stopped here is late when it goes on, and the client tears the connection down instead of sending the dot.
5. from the dot to the mark (AFTER_DOT, ACCEPTED, BEFORE_MARK): the MTA may have it; the record says `sending`. It is
   not sent again before the ledger was asked (`settling`): a trace, and it was sent; none in a ledger that would
   have one, and it was not; else it is `unclear`, and never sent again.
6. after the mark (MARKED_SENT, WATCHED): `sent` is an end. The ledger's watch list is filled from the record.

An MTA's 250 is a fact: it is written whoever has the claim by then, and kept in mind until the record takes it.

All this is for messages that go out by themselves: notices always, and whatever is due alone. Acknowledgements and
alerts, of which a second one does no harm, also go out in batches, by several connections side by side. A batch is
claimed in one transaction that is its claim and its `begin` in one, and marked in another. Nobody is asked between
RCPT and DATA; instead a batch is given `settle` seconds, and what has not come to its DATA by then is put back.
Killed in between, each of a batch is found as in 5, and is sent again unless the ledger knows it. Two batches may be
under way, and meanwhile the next reports are decided; no notice goes out until both have ended.

What is left: a process that is stopped for longer than `settle` between its look at the clock and the system call
that sends the dot, a few microseconds; and a crash while the milter hangs or dies, of which nothing tells until the
next message of ours has no trace.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from stopit_core.cases import CaseStore, Message, Party
from stopit_core.daemon.systemd import Live
from stopit_core.errors import Permanent, Transient
from stopit_core.outgoing.leak_check import Unsafe
from stopit_notifier.configuration import NotifierContext
from stopit_notifier.failpoints import Failpoint, FailpointHook
from stopit_notifier.sending.claim import ClaimId, StableReplicationId
from stopit_notifier.sending.final_check import check, vet
from stopit_notifier.sending.recovery import Recovery, RecoveryResult
from stopit_notifier.sending.result import ResultRecorder
from stopit_notifier.smtp.client import End, SmtpClient, SmtpMessage, Unanswered
from stopit_notifier.smtp.pipelined import PipelinedSender
from stopit_notifier.smtp.pool import ConnectionPool, InFlightBatch, attempt

__all__ = ["Outbox", "Terms", "pause"]

_BATCH = 256
_IN_FLIGHT = 2
"""So many batches are under way: while one is written down, and the next decided, the MTA has another."""
_FIRST_PAUSE = 30.0
_LONGEST_PAUSE = 3600.0


@dataclass(frozen=True, slots=True)
class Terms:
    """How messages are sent, and how long they are tried (seconds). The clients' `data_within` must be `settle`."""

    pool: ConnectionPool
    settle: float
    give_up: float


class Outbox:
    """Sends what is due. For one thread; several processes may each have one."""

    def __init__(
        self,
        store: CaseStore,
        recovery: Recovery,
        recorder: ResultRecorder,
        live: Live[NotifierContext],
        terms: Terms,
        claim_id: ClaimId,
        replication_id: StableReplicationId,
        *,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        draw: Callable[[], float],
        failpoint: FailpointHook,
    ) -> None:
        self._store = store
        self._recovery = recovery
        self._recorder = recorder
        self._live = live
        self._terms = terms
        self._claim_id = claim_id
        self._replication_id = replication_id
        self._clock = clock
        self._monotonic = monotonic
        self._draw = draw
        self._failpoint = failpoint
        self._in_flight: deque[InFlightBatch] = deque()
        self._taken: dict[int, tuple[Message, float]] = {}

    def renew(self, terms: Terms) -> None:
        """Go on under other terms."""
        self.close()
        self._terms = terms

    def run_once(self, patient: bool = True) -> bool:
        """Deal with the next message that is due, or set out with the next batch; False when none is due.

        What became of the batches before is written down as they end. What goes out by itself waits for them, and so
        does a batch when two are under way; unless `patient`, that is False. Raises Transient when the record is
        away.
        """
        self._complete_finished()
        while self._in_flight:
            if len(self._in_flight) < _IN_FLIGHT and (batch := self._claim(alone=False)):
                self._in_flight.append(self._set_out(batch))
                return True
            if not patient:
                return False
            self._complete()
        match self._claim():
            case []:
                return False
            case [message]:
                self._deal_with(message)
            case batch:
                self._in_flight.append(self._set_out(batch))
        return True

    def recover(self) -> None:
        """Deal with what a crash left half-sent. Raises Transient when the record or the ledger is away."""
        self._mark_taken()
        for message, finding, sent_at in self._recovery.results(self._live.current.people, self._terms.settle):
            match finding:
                case RecoveryResult.SENT:
                    self._recorder.sent(message, sent_at)
                case RecoveryResult.AGAIN:
                    self._recorder.put_off(message, message.error or "interrupted", self._clock())
                case RecoveryResult.UNCLEAR:
                    self._recorder.unclear(message, message.error or "interrupted while it was being sent")
            self._failpoint(Failpoint.RECOVERED)

    def send_aside(self, message: SmtpMessage) -> End:
        """Send what is no row of the record, once, and say what became of it. After the batches that are under
        way."""
        for batch in self._in_flight:
            batch.ends()
        return attempt(self._terms.pool.first, message, lambda: True)

    def next_due(self) -> float | None:
        """When the next message is due (seconds since the epoch), None when none waits."""
        with self._store.sending() as sending:
            return sending.next_due()

    def close(self) -> None:
        """Finish the batches that are under way, and close the connections to the MTA."""
        try:
            with suppress(Transient):  # what could not be written down is settled later
                while self._in_flight:
                    self._complete()
        finally:
            self._terms.pool.close()

    def _claim(self, *, alone: bool = True) -> list[Message]:
        claim = self._claim_id.text(self._replication_id.current())
        with self._store.sending() as sending:
            batch = sending.claim_batch(claim, self._clock(), _BATCH, alone=alone)
        for _ in batch:
            self._failpoint(Failpoint.MESSAGE_CLAIMED)
        return batch

    def _deal_with(self, message: Message) -> None:
        try:
            with self._store.sending() as sending:
                vet(message, sending, self._live.current.renderer)
        except Unsafe as error:
            self._recorder.failed(message, str(error))
            return
        self._end(message, attempt(self._terms.pool.first, message, lambda: self._begin(message)))
        self._mark_taken()

    def _set_out(self, batch: Sequence[Message]) -> InFlightBatch:
        until = self._monotonic() + self._terms.settle

        def in_time() -> bool:
            return self._monotonic() < until

        def send(client: SmtpClient, messages: Iterator[Message]) -> Iterator[tuple[Message, End]]:
            return PipelinedSender(client, check, in_time).send(messages)

        return self._terms.pool.submit(batch, send)

    def _complete_finished(self) -> None:
        self._mark_taken()
        while self._in_flight and self._in_flight[0].over:
            self._complete()

    def _complete(self) -> None:
        """Wait for the first batch that is under way, and write down what became of it."""
        ended = self._in_flight.popleft().ends()
        self._taken |= {message.id: (message, self._clock()) for message, end in ended if end is True}
        self._mark_taken()
        for message, end in ended:
            if end is False:
                self._recorder.put_off(message, "the ones before it took too long", self._clock())
            elif end is not True:
                self._end(message, end)

    def _end(self, message: Message, end: End) -> None:
        """Write down what became of a message; what the MTA took is only noted, for `_mark_taken`."""
        match end:
            case True:
                self._taken[message.id] = (message, self._clock())
            case False:
                pass  # the claim is another's now
            case Unanswered():  # a broken connection leaves what a crash leaves, and is settled like it
                if end.hung:
                    self._recorder.unanswered(message, str(end))
            case Permanent() | Unsafe():
                self._recorder.failed(message, str(end))
            case Transient():
                self._put_off(message, str(end))
            case _:
                raise end

    def _begin(self, message: Message) -> bool:
        with self._store.sending() as sending:
            return sending.begin(message, self._clock())

    def _mark_taken(self) -> None:
        taken = list(self._taken.values())
        together = [(message, at) for message, at in taken if message.party is not Party.SENDER]
        if together:
            self._recorder.all_sent(together)
            self._forget(together)
        for message, at in taken:
            if message.party is Party.SENDER:
                self._recorder.sent(message, at)
                self._forget([(message, at)])

    def _forget(self, marked: Sequence[tuple[Message, float]]) -> None:
        for message, _ in marked:
            del self._taken[message.id]

    def _put_off(self, message: Message, error: str) -> None:
        now = self._clock()
        if now - message.created_at >= self._terms.give_up:
            self._recorder.failed(message, f"given up after {message.attempts} attempts: {error}")
        else:
            self._recorder.put_off(message, error, now + pause(message.attempts, self._draw()))


def pause(attempts: int, draw: float) -> float:
    """Seconds until the next attempt: 30, doubling, at most an hour; `draw` in [0, 1) takes up to half of it off,
    so that what failed together is not tried together."""
    longest = min(_FIRST_PAUSE * 2.0 ** min(attempts - 1, 10), _LONGEST_PAUSE)
    return longest * (1.0 - draw / 2)
