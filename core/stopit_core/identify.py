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

from stopit_core.ledger import MAX_PASSES
from stopit_core.model import Original, Trace
from stopit_core.people import NOBODY, People, Person

__all__ = ["Finding", "Identification", "identify"]


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


def identify(original: Original, traces: Sequence[Trace], reporter: str, people: People) -> Identification:
    """Who sent `original`, whose passes are `traces`, and did the canonical address `reporter` receive it?"""
    if not original.message:
        return Identification(Finding.NO_ORIGINAL)
    if original.ambiguous:
        return Identification(Finding.AMBIGUOUS)
    if not traces:
        return Identification(Finding.NO_TRACE)
    sent_at = max(trace.seen for trace in traces)
    recipients = _recipients(traces)
    if all(trace.own for trace in traces):
        return Identification(Finding.OWN_SERVICE, sent_at=sent_at, recipients=recipients)
    named = {people.sender(trace).address for trace in traces}
    if len(named) != 1 or "" in named or len(traces) >= MAX_PASSES or any(trace.own for trace in traces):
        return Identification(Finding.AMBIGUOUS, sent_at=sent_at, recipients=recipients)
    digest = people.digest(reporter) if reporter else None
    received = [trace for trace in traces if digest is not None and trace.received_by(digest)]
    if not received:
        assurance = min(people.sender(trace).assurance for trace in traces)
        return Identification(Finding.NOT_RECEIVED, Person(named.pop(), assurance), sent_at, recipients)
    return Identification(
        Finding.IDENTIFIED,
        min((people.sender(trace) for trace in received), key=lambda person: person.assurance),
        max(trace.seen for trace in received),
        recipients,
    )


def _recipients(traces: Sequence[Trace]) -> int:
    distinct = {digest for trace in traces for digest in trace.recipient_digests()}
    return max(len(distinct), *(trace.recipient_count for trace in traces))
