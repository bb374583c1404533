"""Find the sender of a message from its traces, and check that the reporter received it. Pure.

Anybody can send mail under a Message-ID that was used before, so one trace that names a sender proves nothing by
itself. Two rules protect the innocent:

* Only passes in which the *reporter* was a recipient say how surely the sender is known. Of several the least sure
  one counts, since the reporter may have read any of the copies.
* *Every* pass of the message counts for the name of the sender. When two passes disagree, or one names nobody, the
  message is ambiguous and staff decide.
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
    """The result of looking up a flagged message in the ledger."""

    IDENTIFIED = "identified"
    NO_ORIGINAL = "no-original"
    NO_TRACE = "no-trace"
    AMBIGUOUS = "ambiguous"
    NOT_RECEIVED = "not-received"
    OWN_SERVICE = "own-service"


@dataclass(frozen=True, slots=True)
class Identification:
    """The sender of the original, as far as the traces tell.

    `sender` is NOBODY unless the passes agree; with NOT_RECEIVED it is their common sender, for staff only.
    `sent_at`: the latest pass to the reporter (seconds since the epoch, 0.0 when there is none). `recipients`: the
    number of envelope recipients over all passes.
    """

    finding: Finding
    sender: Person = NOBODY
    sent_at: float = 0.0
    recipients: int = 0


class Passes:
    """All passes of one message. What does not depend on the reporter is computed once, for all reports of it."""

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

    def same_as(self, traces: Sequence[Trace], people: People) -> bool:
        """Return whether these are the passes of `traces` at the same site."""
        return people is self._people and list(traces) == self._given

    def reported_by(self, reporter: str) -> Identification:
        """Return the sender of the message, given that the canonical address `reporter` reported it."""
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
    """Return the sender of `original`, whose passes are `traces`, given that `reporter` (canonical) reported it."""
    return Passes(original, traces, people).reported_by(reporter)
