"""Recovery of messages that a crash left half-sent: sent, to be sent again, or unclear.

A message is found in `sending` when the notifier that claimed it was killed or stopped, or when the MTA closed the
connection without a reply. The notifier that finds it waits until nothing of the old attempt can still be sent, and
then asks the ledger: our own mail passes the milter, so a message that the MTA accepted has left a trace.

The wait uses the monotonic clock, from when this process first saw the attempt: setting the clock cannot shorten it.
An attempt ends at most `settle` after its `data_at` (the SMTP client closes the connection before the dot otherwise),
so the ledger is asked at least `settle` after the last byte. When the ledger was away, the wait begins anew, because
the milter needs a moment, too, to write the traces that it kept meanwhile.

`assess` is the whole decision:

| the attempt                                                | a notice | another message |
|------------------------------------------------------------|----------|-----------------|
| no `data_at`: no byte of the message was sent              | again    | again           |
| a trace of ours, from this attempt                         | sent     | sent            |
| a trace of ours, from an earlier attempt only (4yz at EOM) | unclear  | again           |
| no trace; the ledger can tell                              | again    | again           |
| no trace; the ledger can't tell                            | unclear  | again           |

A second acknowledgement does no harm, a second notice does. The ledger can tell when the message that was sent last
has a trace in it (else our mail does not pass the milter, or the milter is down). It cannot tell for an MTA that had
the whole message and was still connected at the deadline (it may accept it later); nor when the host has lost power
since (the milter's last traces are lost); nor when a failover of Redis since, or in the minute before, may have lost
the trace (`claim.StableReplicationId`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from stopit_core.cases import MessageRow, Party
from stopit_core.clock import Time
from stopit_core.identity.people import People
from stopit_core.model import Trace
from stopit_notifier.failpoints import Failpoint, FailpointHook
from stopit_notifier.sending.claim import ClaimId, same_replication_id
from stopit_notifier.stores import Stores

__all__ = ["Interrupted", "Recovery", "RecoveryResult", "assess"]

CLOCK_SKEW = 10.0
"""Seconds by which the clock of the milter's host may be behind the notifier's."""


class RecoveryResult(Enum):
    """The result of the recovery of an interrupted message."""

    SENT = "sent"
    AGAIN = "again"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Interrupted:
    """An interrupted message and the result of its recovery. `sent_at`: seconds since the epoch, for SENT only."""

    message: MessageRow
    result: RecoveryResult
    sent_at: float = 0.0


def assess(message: MessageRow, own: Sequence[Trace], *, can_tell: bool) -> RecoveryResult:
    """Return the result for an interrupted attempt whose `own` traces the ledger has. Pure: the table above."""
    if message.data_at is None:
        return RecoveryResult.AGAIN
    if any(message.attempts == 1 or trace.seen >= message.data_at - CLOCK_SKEW for trace in own):
        return RecoveryResult.SENT
    if message.party is Party.SENDER and (own or not can_tell):
        return RecoveryResult.UNCLEAR
    return RecoveryResult.AGAIN


class Recovery:
    """Finds interrupted messages and assesses them. Raises Transient when the record or the ledger is away."""

    def __init__(self, stores: Stores, claim_id: ClaimId, time: Time, *, failpoint: FailpointHook) -> None:
        self._stores = stores
        self._claim_id = claim_id
        self._time = time
        self._failpoint = failpoint
        self._first_seen: dict[tuple[int, int], float] = {}

    def interrupted(self, people: People, settle: float) -> list[Interrupted]:
        """Return the messages that have been interrupted for twice `settle` seconds, each with its result."""
        now = self._time.monotonic()
        with self._stores.cases.sending() as sending:
            seen = self._first_seen
            self._first_seen = {attempt: seen.get(attempt, now) for attempt in sending.under_way()}
            old = {attempt for attempt, first in self._first_seen.items() if now - first >= 2 * settle}
            late = sending.still_under_way(old) if old else []
            last = sending.last_sent() if old else None
        found = [self._ask(message, last, people) for message in late]
        if found:
            self._failpoint(Failpoint.RECOVERING)
        return found

    def _ask(self, message: MessageRow, last: MessageRow | None, people: People) -> Interrupted:
        own: list[Trace] = []
        can_tell = False
        if message.data_at is not None:
            try:
                own = self._own_traces(message, people)
                can_tell = self._can_tell(message, last, people)
            except BaseException:
                self._first_seen.clear()  # the wait begins anew
                raise
        result = assess(message, own, can_tell=can_tell)
        if result is RecoveryResult.SENT:
            return Interrupted(message, result, max(trace.seen for trace in own))
        return Interrupted(message, result)

    def _can_tell(self, message: MessageRow, last: MessageRow | None, people: People) -> bool:
        if message.error or self._claim_id.lost_power_since(message.claimed_by):
            return False
        if not same_replication_id(message.claimed_by, self._stores.ledger.replication_id()):
            return False
        return last is not None and bool(self._own_traces(last, people))

    def _own_traces(self, message: MessageRow, people: People) -> list[Trace]:
        digest = people.keyring.message(message.message_id)
        return [trace for trace in self._stores.ledger.find(digest) if trace.own]
