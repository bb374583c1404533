"""The outbox: sends what is due, one message at a time, and never a notice twice for one decision.

A notice is one row, written by the commit that holds the decision, with its Message-ID; what is to be shown is that
the MTA takes a row at most once. Killed (-9) or stopped at any point:

1. before the claim's commit: nothing happened. The row is `pending`; whoever comes next begins anew.
2. from there to `begin` (MESSAGE_CLAIMED, CONNECTED, RECIPIENT_ACCEPTED): the row is `sending` without `data_at`.
   No byte of the message has left, because `begin` comes first. It is put back.
3. `begin` is a compare-and-swap on the claim. If another notifier put the row back meanwhile, because this one was
   stopped for long, it fails, and DATA is never said. If it succeeds, nobody puts the row back for twice `settle`.
4. from `begin` to the final dot (BEFORE_DATA, BEFORE_DOT): an MTA that has no dot drops what it has. A process that
   was stopped here is late when it goes on, and the mailer tears the dialog down instead of sending the dot.
5. from the dot to the mark (AFTER_DOT, ACCEPTED, BEFORE_MARK): the MTA may have it; the record says `sending`. It is
   not sent again before the ledger was asked (`settling`): a trace, and it was sent; none in a ledger that would
   have one, and it was not; else it is `unclear`, and never sent again.
6. after the mark (MARKED_SENT, WATCHED): `sent` is an end. The ledger's watch list is filled from the record.

An MTA's 250 is a fact: it is written whoever has the claim by then, and kept in mind until the record takes it.

What is left: a process that is stopped for longer than `settle` between its look at the clock and the system call
that sends the dot, a few microseconds; and a crash while the milter hangs or dies, of which nothing tells until the
next message of ours has no trace.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from stopit_core.cases import CaseStore, Message
from stopit_core.errors import Permanent, Transient
from stopit_core.guard import Unsafe
from stopit_core.service import Live
from stopit_notifier.endings import Endings
from stopit_notifier.judging import Judging
from stopit_notifier.mailer import Mailer, Unanswered
from stopit_notifier.owner import Owner
from stopit_notifier.settling import Finding, Settling
from stopit_notifier.steps import Probe, Step
from stopit_notifier.vetting import vet

__all__ = ["Outbox", "Terms", "pause"]

_FIRST_PAUSE = 30.0
_LONGEST_PAUSE = 3600.0


@dataclass(frozen=True, slots=True)
class Terms:
    """How messages are sent, and how long they are tried (seconds). The mailer's `data_within` must be `settle`."""

    mailer: Mailer
    settle: float
    give_up: float


class Outbox:
    """Sends what is due. For one thread; several processes may each have one."""

    def __init__(
        self,
        store: CaseStore,
        settling: Settling,
        endings: Endings,
        live: Live[Judging],
        terms: Terms,
        owner: Owner,
        *,
        clock: Callable[[], float],
        draw: Callable[[], float],
        probe: Probe,
    ) -> None:
        self._store = store
        self._settling = settling
        self._endings = endings
        self._live = live
        self._terms = terms
        self._owner = owner
        self._clock = clock
        self._draw = draw
        self._probe = probe
        self._taken: dict[int, tuple[Message, float]] = {}

    def renew(self, terms: Terms) -> None:
        """Go on under other terms."""
        self._terms.mailer.close()
        self._terms = terms

    def run_once(self) -> bool:
        """Deal with the next message that is due; False when none is. Raises Transient when the record is away."""
        self._mark_taken()
        with self._store.sending() as sending:
            message = sending.claim(self._owner.name, self._clock())
        if message is None:
            # An open connection keeps what held when it began: one that met a milter that was away is answered 451
            # for as long as it lasts, also when the milter is back.
            self._terms.mailer.close()
            return False
        self._probe(Step.MESSAGE_CLAIMED)
        self._deal_with(message)
        return True

    def settle(self) -> None:
        """Deal with what a crash left half-sent. Raises Transient when the record or the ledger is away."""
        self._mark_taken()
        for message, finding, sent_at in self._settling.found(self._live.current.people, self._terms.settle):
            match finding:
                case Finding.SENT:
                    self._endings.sent(message, sent_at)
                case Finding.AGAIN:
                    self._endings.put_off(message, message.error or "interrupted", self._clock())
                case Finding.UNCLEAR:
                    self._endings.unclear(message, message.error or "interrupted while it was being sent")
            self._probe(Step.SETTLED)

    def next_due(self) -> float | None:
        """When the next message is due (seconds since the epoch), None when none waits."""
        with self._store.sending() as sending:
            return sending.next_due()

    def close(self) -> None:
        """Close the connection to the MTA."""
        self._terms.mailer.close()

    def _deal_with(self, message: Message) -> None:
        try:
            with self._store.sending() as sending:
                vet(message, sending, self._live.current.renderer)
        except Unsafe as error:
            self._endings.failed(message, str(error))
            return
        try:
            taken = self._terms.mailer.send(message, lambda: self._begin(message))
        except Unanswered as error:
            if error.hung:
                self._endings.unanswered(message, str(error))
            return  # a broken connection leaves what a crash leaves, and is settled like it
        except Permanent as error:
            self._endings.failed(message, str(error))
            return
        except Transient as error:
            self._put_off(message, str(error))
            return
        if taken:
            self._taken[message.id] = (message, self._clock())
            self._mark_taken()

    def _begin(self, message: Message) -> bool:
        with self._store.sending() as sending:
            return sending.begin(message, self._clock())

    def _mark_taken(self) -> None:
        for message, at in list(self._taken.values()):
            self._endings.sent(message, at)
            del self._taken[message.id]

    def _put_off(self, message: Message, error: str) -> None:
        now = self._clock()
        if now - message.created_at >= self._terms.give_up:
            self._endings.failed(message, f"given up after {message.attempts} attempts: {error}")
        else:
            self._endings.put_off(message, error, now + pause(message.attempts, self._draw()))


def pause(attempts: int, draw: float) -> float:
    """Seconds until the next attempt: 30, doubling, at most an hour; `draw` in [0, 1) takes up to half of it off,
    so that what failed together is not tried together."""
    longest = min(_FIRST_PAUSE * 2.0 ** min(attempts - 1, 10), _LONGEST_PAUSE)
    return longest * (1.0 - draw / 2)
