"""The values of labels. They are enums, so that each series exists from the start and none names a person."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["FlagResult", "MessageResult", "SendLabel", "Stage", "TraceResult", "each"]


class MessageResult(StrEnum):
    """The result of a message at the milter."""

    ACCEPTED = "accepted"
    FLAGGED = "flagged"
    ANSWERED = "answered"
    TEMPFAILED = "tempfailed"


class FlagResult(StrEnum):
    """The result of a flag at the milter."""

    QUEUED = "queued"
    SPOOLED = "spooled"
    REFUSED = "refused"


class TraceResult(StrEnum):
    """The result of a trace."""

    WRITTEN = "written"
    DROPPED = "dropped"


class Stage(StrEnum):
    """The stage at which an internal fault of the milter happened."""

    CONNECT = "connect"
    ENVELOPE = "envelope"
    HEADER = "header"
    BODY = "body"
    DECIDE = "decide"
    REPORT = "report"
    EDIT = "edit"
    LEDGER = "ledger"
    SPOOL = "spool"


class SendLabel(StrEnum):
    """The result of an attempt to send a message of Stopit."""

    SENT = "sent"
    DEFERRED = "deferred"
    FAILED = "failed"
    UNCLEAR = "unclear"


def each(values: type[StrEnum]) -> list[tuple[str]]:
    """Return the series of a metric with one label that has these values."""
    return [(value.value,) for value in values]
