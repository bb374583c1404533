"""The outbox: sends messages that are due, and never a notice twice for one decision.

A notice is one row, with its Message-ID, written by the commit that holds the decision. The MTA must accept a row at
most once, wherever the notifier is killed (-9) or stopped:

1. before the claim's commit: nothing happened. The row is `pending`, and the next notifier begins anew.
2. from there to `begin` (MESSAGE_CLAIMED, CONNECTED, RECIPIENT_ACCEPTED): the row is `sending` without `data_at`.
   No byte of the message has been sent, because `begin` comes first. It is put back.
3. `begin` is a compare-and-swap on the claim. If another notifier put the row back meanwhile, because this one was
   stopped for long, it fails, and DATA is not sent. If it succeeds, nobody puts the row back for twice `settle`.
4. from `begin` to the final dot (BEFORE_DATA, BEFORE_DOT): an MTA that gets no dot drops what it has. A process that
   was stopped here is late when it continues, and the SMTP client closes the connection instead of sending the dot.
5. from the dot to the mark (AFTER_DOT, ACCEPTED, BEFORE_MARK): the MTA may have it, and the record says `sending`. It
   is not sent again before the ledger was asked (`recovery`). With a trace it was sent; without one in a ledger that
   would have it, it was not; else it is `unclear`, and never sent again.
6. after the mark (MARKED_SENT, WATCHED): `sent` is final. The ledger's watchlist is filled from the record.

An MTA's 250 is a fact: it is recorded also when another notifier has the claim, and kept in memory until then.

All this is for messages that are sent alone: notices always, and any other message that is due alone.
Acknowledgements and alerts, of which a second copy does no harm, are also sent in batches over several connections. A
batch is claimed by one transaction, which is the claim and the `begin` of each message, and marked by another. The
record is not asked between RCPT and DATA; instead a batch has `settle` seconds, and messages that have not reached
DATA by then are put back. After a crash each message of a batch is in state 5, and is sent again unless the ledger
knows it. Two batches may be in flight while the next reports are decided; no notice is sent until both are complete.

Two gaps are left: a process that is stopped for longer than `settle` between its look at the clock and the system
call that sends the dot, a few microseconds; and a crash while the milter hangs or dies, which shows only when the
next message of ours has no trace.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from stopit_core.cases import MessageRow, Party
from stopit_core.clock import Time
from stopit_core.daemon.systemd import Live
from stopit_core.errors import Transient
from stopit_core.outgoing.leak_check import Unsafe
from stopit_notifier.configuration import NotifierContext
from stopit_notifier.failpoints import Failpoint, FailpointHook
from stopit_notifier.sending.final_check import check, check_with_record
from stopit_notifier.sending.recovery import Recovery, RecoveryResult
from stopit_notifier.sending.result import ResultRecorder
from stopit_notifier.smtp.client import SmtpClient, SmtpMessage
from stopit_notifier.smtp.pipelined import PipelinedSender
from stopit_notifier.smtp.pool import ConnectionPool, InFlightBatch, Sent
from stopit_notifier.smtp.send_result import SendResult, SendStatus
from stopit_notifier.stores import Stores

__all__ = ["Outbox", "Terms", "pause"]

_BATCH = 256
_IN_FLIGHT = 2
"""Number of batches in flight: while one is recorded and the next decided, the MTA has another."""
_FIRST_PAUSE = 30.0
_LONGEST_PAUSE = 3600.0


@dataclass(frozen=True, slots=True)
class Terms:
    """The connections, and for how many seconds a message is tried. The clients' `data_within` must be `settle`."""

    pool: ConnectionPool
    settle: float
    give_up: float


class Outbox:
    """Sends messages that are due. For one thread; several processes may each have one.

    `claim_text` returns the text of a claim that is made now (`claim.ClaimId.text`).
    """

    def __init__(
        self,
        stores: Stores,
        recovery: Recovery,
        recorder: ResultRecorder,
        live: Live[NotifierContext],
        terms: Terms,
        claim_text: Callable[[], str],
        time: Time,
        *,
        failpoint: FailpointHook,
    ) -> None:
        self._cases = stores.cases
        self._recovery = recovery
        self._recorder = recorder
        self._live = live
        self._terms = terms
        self._claim_text = claim_text
        self._time = time
        self._failpoint = failpoint
        self._in_flight: deque[InFlightBatch] = deque()
        self._accepted: dict[int, tuple[MessageRow, float]] = {}

    def renew(self, terms: Terms) -> None:
        """Use these connections and limits from now on."""
        self.close()
        self._terms = terms

    def run_once(self, patient: bool = True) -> bool:
        """Send the next message that is due, or submit the next batch. Return False if none is due.

        The results of earlier batches are recorded as they complete. A message that is sent alone waits for them, and
        so does a batch when two are in flight; unless `patient`, False is returned instead of waiting. Raises
        Transient when the record is away.
        """
        self._complete_done()
        while self._in_flight:
            if len(self._in_flight) < _IN_FLIGHT and (batch := self._claim(alone=False)):
                self._submit(batch)
                return True
            if not patient:
                return False
            self._complete()
        match self._claim():
            case []:
                return False
            case [message]:
                self._send_alone(message)
            case batch:
                self._submit(batch)
        return True

    def recover(self) -> None:
        """Deal with messages that a crash left half-sent. Raises Transient when the record or the ledger is away."""
        self._mark_accepted()
        for interrupted in self._recovery.interrupted(self._live.current.people, self._terms.settle):
            message = interrupted.message
            match interrupted.result:
                case RecoveryResult.SENT:
                    self._recorder.sent(message, interrupted.sent_at)
                case RecoveryResult.AGAIN:
                    self._recorder.put_off(message, message.error or "interrupted", self._time.clock())
                case RecoveryResult.UNCLEAR:
                    self._recorder.unclear(message, message.error or "interrupted while it was being sent")
            self._failpoint(Failpoint.RECOVERED)

    def send_unrecorded(self, message: SmtpMessage) -> SendResult:
        """Send a message that is no row of the record, once, after the batches in flight."""
        for batch in self._in_flight:
            batch.results()
        return self._terms.pool.first.send(message, lambda: True)

    def next_due(self) -> float | None:
        """Return when the next message is due (seconds since the epoch), None when none waits."""
        with self._cases.sending() as sending:
            return sending.next_due()

    def close(self) -> None:
        """Complete the batches in flight, and close the connections to the MTA."""
        try:
            with suppress(Transient):  # results that could not be recorded are recovered later
                while self._in_flight:
                    self._complete()
        finally:
            self._terms.pool.close()

    def _claim(self, *, alone: bool = True) -> list[MessageRow]:
        with self._cases.sending() as sending:
            batch = sending.claim_batch(self._claim_text(), self._time.clock(), _BATCH, alone=alone)
        for _ in batch:
            self._failpoint(Failpoint.MESSAGE_CLAIMED)
        return batch

    def _send_alone(self, message: MessageRow) -> None:
        try:
            with self._cases.sending() as sending:
                check_with_record(message, sending, self._live.current.renderer)
        except Unsafe as error:
            self._recorder.failed(message, str(error))
            return
        try:
            result = self._terms.pool.first.send(message, lambda: self._begin(message))
        except Transient as error:  # the record did not say whether the claim holds
            result = SendResult(SendStatus.DEFERRED, str(error))
        self._record(message, result)
        self._mark_accepted()

    def _submit(self, batch: Sequence[MessageRow]) -> None:
        until = self._time.monotonic() + self._terms.settle

        def in_time() -> bool:
            return self._time.monotonic() < until

        def send(client: SmtpClient, messages: Iterator[MessageRow]) -> Iterator[Sent]:
            return PipelinedSender(client, check, in_time).send(messages)

        self._in_flight.append(self._terms.pool.submit(batch, send))

    def _complete_done(self) -> None:
        self._mark_accepted()
        while self._in_flight and self._in_flight[0].done:
            self._complete()

    def _complete(self) -> None:
        """Wait for the first batch in flight, and record its results. Raises what one of its attempts raised."""
        batch = self._in_flight.popleft()
        results = batch.results()
        now = self._time.clock()
        self._accepted |= {message.id: (message, now) for message, result in results if result.sent}
        self._mark_accepted()
        for message, result in results:
            if result.status is SendStatus.CALLED_OFF:
                self._recorder.put_off(message, "its batch took too long", self._time.clock())
            elif not result.sent:
                self._record(message, result)
        for error in batch.errors:  # its message is still `sending`, and is recovered
            raise error

    def _record(self, message: MessageRow, result: SendResult) -> None:
        """Record a result. A message that the MTA accepted is only noted, for `_mark_accepted`."""
        match result.status:
            case SendStatus.SENT:
                self._accepted[message.id] = (message, self._time.clock())
            case SendStatus.CALLED_OFF:
                pass  # another notifier has the claim
            case SendStatus.UNANSWERED:
                pass  # the same as after a crash: it is recovered
            case SendStatus.HUNG:
                self._recorder.unanswered(message, result.error)
            case SendStatus.REFUSED:
                self._recorder.failed(message, result.error)
            case SendStatus.DEFERRED:
                self._defer(message, result.error)

    def _begin(self, message: MessageRow) -> bool:
        with self._cases.sending() as sending:
            return sending.begin(message, self._time.clock())

    def _mark_accepted(self) -> None:
        accepted = list(self._accepted.values())
        together = [(message, at) for message, at in accepted if message.party is not Party.SENDER]
        if together:
            self._recorder.all_sent(together)
            self._forget(together)
        for message, at in accepted:
            if message.party is Party.SENDER:
                self._recorder.sent(message, at)
                self._forget([(message, at)])

    def _forget(self, marked: Sequence[tuple[MessageRow, float]]) -> None:
        for message, _ in marked:
            del self._accepted[message.id]

    def _defer(self, message: MessageRow, error: str) -> None:
        now = self._time.clock()
        if now - message.created_at >= self._terms.give_up:
            self._recorder.failed(message, f"given up after {message.attempts} attempts: {error}")
        else:
            self._recorder.put_off(message, error, now + pause(message.attempts, self._time.draw()))


def pause(attempts: int, draw: float) -> float:
    """Return the seconds until the next attempt: 30, doubling up to an hour.

    `draw` in [0, 1) shortens it by up to a half, so that messages that failed together are not tried together.
    """
    longest = min(_FIRST_PAUSE * 2.0 ** min(attempts - 1, 10), _LONGEST_PAUSE)
    return longest * (1.0 - draw / 2)
