"""The case record: on the record, and confidential. SQLAlchemy Core on SQLite or PostgreSQL.

`CaseStore` opens it. Everything is written through a `Work`, which is one transaction: the results of a report (case,
decision, history, messages to send) are stored completely or not at all. A report is acknowledged to the queue only
after the commit, so it may be delivered again; `Work.take` recognises it by its id.
"""

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
from stopit_core.cases.sending import Sending
from stopit_core.cases.store import CaseStore
from stopit_core.cases.work import Work

__all__ = [
    "Actor",
    "Case",
    "CaseState",
    "CaseStore",
    "Event",
    "EventKind",
    "MessageRow",
    "MessageState",
    "Party",
    "ReportRow",
    "Sending",
    "Work",
]
