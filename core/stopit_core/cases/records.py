"""The rows of the case record as values, and their states.

    case:     recorded | waiting -> notice-pending -> notified        any -> staff -> closed
    message:  pending -> sending -> sent [-> bounced] | failed | unclear
              pending -> cancelled          observed: written in observe mode, never sent

`sending` is written when a notifier claims the message, `data_at` before the first byte of it is sent, and `sent`
after the 250 of the MTA. A message that is found in `sending` after a crash was not sent if it has no `data_at`; else
the ledger decides. A message is `unclear` if the ledger cannot decide either; it is never sent again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from stopit_core.decision.policy import Outcome, Reason
from stopit_core.model import Assurance, Channel, Command, Digest
from stopit_core.outgoing.facts import MessageKind

__all__ = [
    "ALIVE",
    "NOTICE_KINDS",
    "Actor",
    "Case",
    "CaseState",
    "Contact",
    "Event",
    "EventKind",
    "MessageRow",
    "MessageState",
    "Party",
    "ReportRow",
    "Totals",
    "WatchRow",
    "next_state",
]


class CaseState(StrEnum):
    """The state of a case."""

    RECORDED = "recorded"
    WAITING = "waiting"
    NOTICE_PENDING = "notice-pending"
    NOTIFIED = "notified"
    STAFF = "staff"
    CLOSED = "closed"


class MessageState(StrEnum):
    """The state of an outgoing message."""

    PENDING = "pending"
    SENDING = "sending"
    SENT = "sent"
    BOUNCED = "bounced"
    FAILED = "failed"
    UNCLEAR = "unclear"
    CANCELLED = "cancelled"
    OBSERVED = "observed"


ALIVE = frozenset({MessageState.PENDING, MessageState.SENDING, MessageState.SENT, MessageState.UNCLEAR})
"""The states of a notice that the sender has received or will receive."""


NOTICE_KINDS = (MessageKind.NOTICE.value, MessageKind.FIRMER_NOTICE.value)


class Actor(StrEnum):
    """The party whose action an event records."""

    SYSTEM = "system"
    REPORTER = "reporter"
    SENDER = "sender"
    STAFF = "staff"
    MAIL = "mail"


class EventKind(StrEnum):
    """The kind of an event in the history of a case."""

    OPENED = "opened"
    REPORTED = "reported"
    DECIDED = "decided"
    STATE = "state"
    MESSAGE_QUEUED = "message-queued"
    MESSAGE_SENT = "message-sent"
    MESSAGE_FAILED = "message-failed"
    MESSAGE_UNCLEAR = "message-unclear"
    MESSAGE_CANCELLED = "message-cancelled"
    BOUNCED = "bounced"
    ANSWERED = "answered"
    WITHDRAWN = "withdrawn"
    CONTACT = "contact"
    NOTE = "note"


class Party(StrEnum):
    """The party to whom an outgoing message goes."""

    REPORTER = "reporter"
    SENDER = "sender"
    STAFF = "staff"


@dataclass(frozen=True, slots=True)
class Case:
    """One case. `number` is random, so that nobody can count cases; `sender` is "" if nobody is identified."""

    id: int
    number: str
    state: CaseState
    sender: str
    sender_assurance: Assurance
    opened_at: float
    changed_at: float


@dataclass(frozen=True, slots=True)
class ReportRow:
    """One original that one report names, with the latest decision on it.

    `notice_id` is the notice that this report caused or joined. `key` is the report's id and the index of the
    original in it. `message_sent_at` is when the original passed (0.0 if no trace was found).
    """

    key: str
    case_id: int
    at: float
    queue_id: str
    channel: Channel
    command: Command
    reporter: str
    reporter_assurance: Assurance
    sender: str
    original: Digest
    message_sent_at: float
    recipients: int
    outcome: Outcome
    reason: Reason
    decided_at: float
    notice_id: int | None
    withdrawn_at: float | None
    observed: bool


@dataclass(frozen=True, slots=True)
class MessageRow:
    """An outgoing message in the outbox. `report_key` is the report that it answers (acknowledgements).

    `claimed_by`, `claimed_at` and `data_at` belong to the latest attempt: its claim id, and when its DATA was about
    to be sent (None: not yet). `error` says why an attempt failed; in state `sending` it says that the MTA received
    the whole message and did not reply.
    """

    id: int
    ref: str
    case_id: int
    kind: str
    party: Party
    about: str
    recipient: str
    envelope_from: str
    message_id: str
    data: bytes
    state: MessageState
    created_at: float
    due_at: float
    attempts: int
    claimed_by: str
    claimed_at: float | None
    data_at: float | None
    sent_at: float | None
    error: str
    report_key: str


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a case's history. `hash` covers the line and the hash of the line before it."""

    seq: int
    at: float
    actor: Actor
    kind: EventKind
    detail: Mapping[str, str]
    hash: str


@dataclass(frozen=True, slots=True)
class WatchRow:
    """A pair that the ledger watches after a notice, for a case."""

    pair: Digest
    case_id: int
    since: float
    until: float
    contacts: int


@dataclass(frozen=True, slots=True)
class Contact:
    """The case of a contact after a notice, and the number of contacts so far."""

    case_id: int
    contacts: int


@dataclass(frozen=True, slots=True)
class Totals:
    """The values of the gauges. `staff_waits` is the longest time in seconds that a case has waited for staff."""

    cases: Mapping[CaseState, int]
    staff_waits: float
    outbox_due: int
    outbox_put_off: int
    senders_notified: int
    senders_recurred: int


def next_state(current: CaseState | None, outcome: Outcome) -> CaseState:
    """Return the state of a case after a decision; `current` is None for a new case. Only staff take a case out of
    `staff`."""
    if current is CaseState.STAFF or outcome is Outcome.STAFF_REVIEW:
        return CaseState.STAFF
    match outcome:
        case Outcome.REJECT:
            return current or CaseState.CLOSED
        case Outcome.RECORD_ONLY:
            return current or CaseState.RECORDED
        case Outcome.WAIT:
            return CaseState.WAITING if current in (None, CaseState.RECORDED) else current
        case _:
            return CaseState.NOTICE_PENDING
