"""Convert rows to values: the only module that maps columns to fields."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Row

from stopit_core.cases.records import (
    Actor,
    Case,
    CaseState,
    Event,
    EventKind,
    MessageRow,
    MessageState,
    Party,
    ReportRow,
)
from stopit_core.decision.policy import Outcome, Reason
from stopit_core.model import Assurance, Channel, Command, Digest

__all__ = ["case_of", "event_of", "message_of", "report_of", "values_of"]


def case_of(row: Row[Any]) -> Case:
    """Return a row of `cases` as a value."""
    return Case(
        id=row.id,
        number=row.number,
        state=CaseState(row.state),
        sender=row.sender,
        sender_assurance=Assurance(row.sender_assurance),
        opened_at=row.opened_at,
        changed_at=row.changed_at,
    )


def report_of(row: Row[Any]) -> ReportRow:
    """Return a row of `reports` as a value."""
    return ReportRow(
        key=row.key,
        case_id=row.case_id,
        at=row.at,
        queue_id=row.queue_id,
        channel=Channel(row.channel),
        command=Command(row.command),
        reporter=row.reporter,
        reporter_assurance=Assurance(row.reporter_assurance),
        sender=row.sender,
        original=Digest(bytes(row.original)),
        message_sent_at=row.message_sent_at,
        recipients=row.recipients,
        outcome=Outcome(row.outcome),
        reason=Reason(row.reason),
        decided_at=row.decided_at,
        notice_id=row.notice_id,
        withdrawn_at=row.withdrawn_at,
        observed=bool(row.observed),
    )


def values_of(report: ReportRow) -> dict[str, object]:
    """Return a report as a row of `reports`."""
    return {
        "key": report.key,
        "report_id": report.key.partition(":")[0],
        "case_id": report.case_id,
        "at": report.at,
        "queue_id": report.queue_id,
        "channel": report.channel.value,
        "command": report.command.value,
        "reporter": report.reporter,
        "reporter_assurance": int(report.reporter_assurance),
        "sender": report.sender,
        "original": report.original,
        "message_sent_at": report.message_sent_at,
        "recipients": report.recipients,
        "outcome": report.outcome.value,
        "reason": report.reason.value,
        "decided_at": report.decided_at,
        "notice_id": report.notice_id,
        "withdrawn_at": report.withdrawn_at,
        "observed": report.observed,
    }


def message_of(row: Row[Any]) -> MessageRow:
    """Return a row of `messages` as a value."""
    return MessageRow(
        id=row.id,
        ref=row.ref,
        case_id=row.case_id,
        kind=row.kind,
        party=Party(row.party),
        about=row.about,
        recipient=row.recipient,
        envelope_from=row.envelope_from,
        message_id=row.message_id,
        data=bytes(row.data),
        state=MessageState(row.state),
        created_at=row.created_at,
        due_at=row.due_at,
        attempts=row.attempts,
        claimed_by=row.claimed_by,
        claimed_at=row.claimed_at,
        data_at=row.data_at,
        sent_at=row.sent_at,
        error=row.error,
        report_key=row.report_key,
    )


def event_of(row: Row[Any]) -> Event:
    """Return a row of `events` as a value."""
    return Event(
        seq=row.seq,
        at=row.at,
        actor=Actor(row.actor),
        kind=EventKind(row.kind),
        detail=json.loads(row.detail),
        hash=row.hash,
    )
