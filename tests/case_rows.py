"""Rows of the case record, for tests that write them without a notifier."""

from __future__ import annotations

from typing import Any

from stopit_core.cases import ReportRow
from stopit_core.decision.policy import Reason
from stopit_core.model import Assurance, Channel, Command, Digest


def report_row(case_id: int, key: str, at: float, reason: Reason = Reason.NOTICE_DUE, **changes: Any) -> ReportRow:
    """Return the row of vera's flag of a message by mallory. `changes` replace other fields."""
    values: dict[str, Any] = {
        "queue_id": "4XQ",
        "channel": Channel.REPLY,
        "command": Command.FLAG,
        "reporter": "vera@campus.example",
        "reporter_assurance": Assurance.AUTHENTICATED,
        "sender": "mallory@campus.example",
        "original": Digest(b"o" * 16),
        "message_sent_at": at - 60,
        "recipients": 2,
        "notice_id": None,
        "withdrawn_at": None,
        "observed": False,
    }
    return ReportRow(
        key=key, case_id=case_id, at=at, outcome=reason.outcome, reason=reason, decided_at=at, **{**values, **changes}
    )
