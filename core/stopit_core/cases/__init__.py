"""The case record: on the record, and confidential. SQLAlchemy Core on SQLite or PostgreSQL.

`CaseStore` opens it. Everything is written through a `Work`, which is one transaction: the results of a report (case,
decision, history, messages to send) are stored completely or not at all. A report is acknowledged to the queue only
after the commit, so it may be delivered again; `Work.take` recognises it by its id.
"""

from stopit_core.cases.records import (
    ALIVE,
    Actor,
    Case,
    CaseState,
    Contact,
    Event,
    EventKind,
    Message,
    MessageState,
    Party,
    ReportRow,
    Totals,
    WatchRow,
)
from stopit_core.cases.sending import Sending
from stopit_core.cases.store import CaseStore
from stopit_core.cases.work import Work

__all__ = [
    "ALIVE",
    "Actor",
    "Case",
    "CaseState",
    "CaseStore",
    "Contact",
    "Event",
    "EventKind",
    "Message",
    "MessageState",
    "Party",
    "ReportRow",
    "Sending",
    "Totals",
    "WatchRow",
    "Work",
]
