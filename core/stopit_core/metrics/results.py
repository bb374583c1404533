"""The values of labels: enums of ours, so that each series is there from the start and none tells on anybody."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["FlagResult", "MessageResult", "SendResult", "Stage", "TraceResult", "each"]


class MessageResult(StrEnum):
    """What the milter did with a message."""

    ACCEPTED = "accepted"
    FLAGGED = "flagged"
    ANSWERED = "answered"
    TEMPFAILED = "tempfailed"


class FlagResult(StrEnum):
    """What became of a flag at the milter."""

    QUEUED = "queued"
    SPOOLED = "spooled"
    REFUSED = "refused"


class TraceResult(StrEnum):
    """What became of a trace."""

    WRITTEN = "written"
    DROPPED = "dropped"


class Stage(StrEnum):
    """Where in a message's way a fault of ours happened."""

    CONNECT = "connect"
    ENVELOPE = "envelope"
    HEADER = "header"
    BODY = "body"
    DECIDE = "decide"
    REPORT = "report"
    EDIT = "edit"
    LEDGER = "ledger"
    SPOOL = "spool"


class SendResult(StrEnum):
    """What became of an attempt to send a message of ours."""

    SENT = "sent"
    DEFERRED = "deferred"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNCLEAR = "unclear"


def each(values: type[StrEnum]) -> list[tuple[str]]:
    """The series of a metric whose one label has these values."""
    return [(value.value,) for value in values]
