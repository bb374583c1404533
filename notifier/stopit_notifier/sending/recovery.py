"""What a crash left half-sent: was it sent, or not, or can nobody tell?

A message is found in `sending` when the one who claimed it was killed, stopped, or left by the MTA without an answer.
Whoever finds it waits until nothing of the old attempt can still go out, and then asks the ledger: our own mail
passes the milter, so what the MTA took has left a trace.

The wait is by the monotonic clock, from when this process first saw the attempt: a clock that is set can't shorten
it. An attempt ends at most `settle` after its `data_at` (the client tears it down before the dot otherwise), so the
question is asked at least `settle` after the last byte. When the ledger was away, the wait begins anew: the milter
needs a moment, too, to write down what it kept meanwhile.

`assess` is the whole judgement:

| the attempt                                                | a notice | another message |
|------------------------------------------------------------|----------|-----------------|
| no `data_at`: not a byte of the message went out           | again    | again           |
| a trace of ours, from this attempt                         | sent     | sent            |
| a trace of ours, from an earlier attempt only (4yz at EOM) | unclear  | again           |
| no trace; the ledger can tell                              | again    | again           |
| no trace; the ledger can't tell                            | unclear  | again           |

A second acknowledgement does no harm, a second notice does. The ledger can tell when the message that was sent last
has a trace in it (else our mail doesn't pass the milter there, or the milter is down); not for an MTA that had the
whole message and was still connected when we gave up waiting (it may take it yet); not when the host has lost power
since (the milter's last traces went with it); and not when a failover of Redis since, or in the minute before, may
have thrown the trace away (`claim_id.StableReplicationId`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum

from stopit_core.cases import CaseStore, Message, Party
from stopit_core.identity.people import People
from stopit_core.model import Trace
from stopit_core.stores.ledger import Ledger
from stopit_notifier.failpoints import Failpoint, FailpointHook
from stopit_notifier.sending.claim import ClaimId, same_replication_id

__all__ = ["Interrupted", "Recovery", "RecoveryResult", "assess"]

CLOCK_SKEW = 10.0
"""Seconds by which the milter's host may be behind the notifier's."""


class RecoveryResult(Enum):
    """What is to be done about an interrupted message."""

    SENT = "sent"
    AGAIN = "again"
    UNCLEAR = "unclear"


Interrupted = tuple[Message, RecoveryResult, float]
"""A message, what was found, and when it was sent (seconds since the epoch; 0.0 unless SENT)."""


def assess(message: Message, own: Sequence[Trace], *, can_tell: bool) -> RecoveryResult:
    """What became of an interrupted attempt whose `own` traces the ledger has. Pure: the table above."""
    if message.data_at is None:
        return RecoveryResult.AGAIN
    if any(message.attempts == 1 or trace.seen >= message.data_at - CLOCK_SKEW for trace in own):
        return RecoveryResult.SENT
    if message.party is Party.SENDER and (own or not can_tell):
        return RecoveryResult.UNCLEAR
    return RecoveryResult.AGAIN


class Recovery:
    """Finds interrupted messages and what became of them. Raises Transient when record or ledger is away."""

    def __init__(
        self,
        store: CaseStore,
        ledger: Ledger,
        claim_id: ClaimId,
        *,
        monotonic: Callable[[], float],
        failpoint: FailpointHook,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._claim_id = claim_id
        self._monotonic = monotonic
        self._failpoint = failpoint
        self._first_seen: dict[tuple[int, int], float] = {}

    def results(self, people: People, settle: float) -> list[Interrupted]:
        """The interrupted messages that have been so for twice `settle` seconds, and what became of each."""
        now = self._monotonic()
        with self._store.sending() as sending:
            seen = self._first_seen
            self._first_seen = {attempt: seen.get(attempt, now) for attempt in sending.under_way()}
            old = {attempt for attempt, first in self._first_seen.items() if now - first >= 2 * settle}
            late = sending.still_under_way(old) if old else []
            last = sending.last_sent() if old else None
        found = [self._ask(message, last, people) for message in late]
        if found:
            self._failpoint(Failpoint.RECOVERING)
        return found

    def _ask(self, message: Message, last: Message | None, people: People) -> Interrupted:
        own: list[Trace] = []
        can_tell = False
        if message.data_at is not None:
            try:
                own = self._own_traces(message, people)
                can_tell = self._can_tell(message, last, people)
            except BaseException:
                self._first_seen.clear()  # and so the wait begins anew
                raise
        finding = assess(message, own, can_tell=can_tell)
        return message, finding, max(trace.seen for trace in own) if finding is RecoveryResult.SENT else 0.0

    def _can_tell(self, message: Message, last: Message | None, people: People) -> bool:
        if message.error or self._claim_id.lost_power_since(message.claimed_by):
            return False
        if not same_replication_id(message.claimed_by, self._ledger.replication_id()):
            return False
        return last is not None and bool(self._own_traces(last, people))

    def _own_traces(self, message: Message, people: People) -> list[Trace]:
        return [trace for trace in self._ledger.find(people.keyring.message(message.message_id)) if trace.own]
