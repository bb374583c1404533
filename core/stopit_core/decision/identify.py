"""From the traces of a message to who really sent it, and whether the reporter really received it. Pure.

Anyone can send mail under a Message-ID that somebody else used, so one trace that names a sender proves nothing
by itself. The rule that keeps the innocent out of it:

* only the passes in which the *reporter* was a recipient say how surely the sender is known, and of several the
  least sure one counts (nobody knows which copy the reporter read);
* *every* pass of the message has a say in who the sender is; two names, or a pass that names nobody, and it is
  ambiguous: staff decide.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from stopit_core.identity.people import NOBODY, People, Person
from stopit_core.model import Original, Trace
from stopit_core.stores.ledger import MAX_PASSES

__all__ = ["Finding", "Identification", "Passes", "identify"]


class Finding(StrEnum):
    """What the ledger says of a flagged message."""

    IDENTIFIED = "identified"
    NO_ORIGINAL = "no-original"
    NO_TRACE = "no-trace"
    AMBIGUOUS = "ambiguous"
    NOT_RECEIVED = "not-received"
    OWN_SERVICE = "own-service"


@dataclass(frozen=True, slots=True)
class Identification:
    """Who sent the original, as far as it can be told.

    `sender` is NOBODY unless the passes agree; with NOT_RECEIVED it is what they say, for staff only. `sent_at`:
    the latest pass to the reporter (seconds since the epoch, 0.0 when there is none). `recipients`: how many
    envelope recipients the message had, over all passes.
    """

    finding: Finding
    sender: Person = NOBODY
    sent_at: float = 0.0
    recipients: int = 0


class Passes:
    """All passes of one message. What they say of its sender is worked out once, whoever of many reports it."""

    def __init__(self, original: Original, traces: Sequence[Trace], people: People) -> None:
        self.original = original
        self._people = people
        self._given = list(traces)
        self._traces = [(trace, people.sender(trace)) for trace in traces]
        self._recipients_of = [frozenset(trace.recipient_digests()) for trace in traces]
        self._sent_at = max((trace.seen for trace in traces), default=0.0)
        distinct = frozenset().union(*self._recipients_of)
        self._recipients = max(len(distinct), *(trace.recipient_count for trace in traces), 0)
        self._named = {sender.address for _, sender in self._traces}
        self._own = {trace.own for trace in traces}

    def are(self, traces: Sequence[Trace], people: People) -> bool:
        """Whether these are just the passes that `traces` tell of, to the same people."""
        return people is self._people and list(traces) == self._given

    def reported_by(self, reporter: str) -> Identification:
        """Who sent the message, and did the canonical address `reporter` receive it?"""
        if not self.original.message:
            return Identification(Finding.NO_ORIGINAL)
        if self.original.ambiguous:
            return Identification(Finding.AMBIGUOUS)
        if not self._traces:
            return Identification(Finding.NO_TRACE)
        if self._own == {True}:
            return Identification(Finding.OWN_SERVICE, sent_at=self._sent_at, recipients=self._recipients)
        if self._disagree():
            return Identification(Finding.AMBIGUOUS, sent_at=self._sent_at, recipients=self._recipients)
        digest = self._people.digest(reporter) if reporter else None
        received = [
            found for found, recipients in zip(self._traces, self._recipients_of, strict=True) if digest in recipients
        ]
        if not received:
            (address,) = self._named
            assurance = min(sender.assurance for _, sender in self._traces)
            return Identification(Finding.NOT_RECEIVED, Person(address, assurance), self._sent_at, self._recipients)
        return Identification(
            Finding.IDENTIFIED,
            min((sender for _, sender in received), key=lambda person: person.assurance),
            max(trace.seen for trace, _ in received),
            self._recipients,
        )

    def _disagree(self) -> bool:
        return len(self._named) != 1 or "" in self._named or len(self._traces) >= MAX_PASSES or True in self._own


def identify(original: Original, traces: Sequence[Trace], reporter: str, people: People) -> Identification:
    """Who sent `original`, whose passes are `traces`, and did the canonical address `reporter` receive it?"""
    return Passes(original, traces, people).reported_by(reporter)
