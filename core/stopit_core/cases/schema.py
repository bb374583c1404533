"""The tables, as the newest migration leaves them (tests/unit/core/cases/test_migrations.py compares the two).

Each index serves a query that runs for every report, message or update of the gauges, so that none of them becomes
slow when a case has ten thousand reports or a million messages are pending.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    column,
    table,
)

__all__ = [
    "REVISION",
    "cases",
    "events",
    "messages",
    "metadata",
    "parties",
    "reports",
    "restores",
    "revisions",
    "taken",
    "watches",
]

REVISION = "0002"
"""The newest migration. A constant, so that it can be checked without importing alembic, which is slow."""

revisions = table("alembic_version", column("version_num"))
"""The table in which alembic stores the latest migration."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

taken = Table(
    "taken",
    metadata,
    Column("report_id", String(64), primary_key=True),
    Column("at", Float, nullable=False),
)
"""The ids of all handled reports: makes a redelivery harmless."""

parties = Table("parties", metadata, Column("address", String(320), primary_key=True))
"""One row for each sender, to lock: two notifiers never decide about one sender at the same time."""

cases = Table(
    "cases",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("number", String(16), nullable=False, unique=True),
    Column("key", String(340), nullable=False, index=True),
    Column("state", String(20), nullable=False, index=True),
    Column("sender", String(320), nullable=False),
    Column("sender_assurance", Integer, nullable=False),
    Column("opened_at", Float, nullable=False),
    Column("changed_at", Float, nullable=False),
)

reports = Table(
    "reports",
    metadata,
    Column("key", String(80), primary_key=True),
    Column("report_id", String(64), nullable=False, index=True),
    Column("case_id", ForeignKey("cases.id"), nullable=False, index=True),
    Column("at", Float, nullable=False),
    Column("queue_id", String(64), nullable=False),
    Column("channel", String(20), nullable=False),
    Column("command", String(20), nullable=False),
    Column("reporter", String(320), nullable=False),
    Column("reporter_assurance", Integer, nullable=False),
    Column("sender", String(320), nullable=False),
    Column("original", LargeBinary, nullable=False),
    Column("message_sent_at", Float, nullable=False),
    Column("recipients", Integer, nullable=False),
    Column("outcome", String(20), nullable=False),
    Column("reason", String(40), nullable=False),
    Column("decided_at", Float, nullable=False),
    Column("notice_id", ForeignKey("messages.id"), nullable=True),
    Column("withdrawn_at", Float, nullable=True),
    Column("observed", Boolean, nullable=False),
    Index("ix_reports_notice_id_withdrawn_at", "notice_id", "withdrawn_at"),
    Index("ix_reports_reason_sender", "reason", "sender"),
    Index("ix_reports_reporter_at", "reporter", "at"),
    Index("ix_reports_sender_at", "sender", "at"),
)

messages = Table(
    "messages",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("ref", String(32), nullable=False, unique=True),
    Column("case_id", ForeignKey("cases.id"), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("party", String(20), nullable=False),
    Column("about", String(80), nullable=False),
    Column("recipient", String(320), nullable=False),
    Column("envelope_from", String(320), nullable=False),
    Column("message_id", String(320), nullable=False),
    Column("data", LargeBinary, nullable=False),
    Column("state", String(20), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("due_at", Float, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("claimed_by", String(64), nullable=False),
    Column("claimed_at", Float, nullable=True),
    Column("data_at", Float, nullable=True),
    Column("sent_at", Float, nullable=True),
    Column("error", Text, nullable=False),
    Column("report_key", String(80), nullable=False),
    Index("ix_messages_case_id_recipient_created_at", "case_id", "recipient", "created_at"),
    Index("ix_messages_kind_state_recipient", "kind", "state", "recipient"),
    Index("ix_messages_state_due_at", "state", "due_at"),
    Index("ix_messages_state_sent_at", "state", "sent_at"),
)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("case_id", ForeignKey("cases.id"), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("at", Float, nullable=False),
    Column("actor", String(20), nullable=False),
    Column("kind", String(20), nullable=False),
    Column("detail", Text, nullable=False),
    Column("hash", String(64), nullable=False),
    UniqueConstraint("case_id", "seq"),
)

watches = Table(
    "watches",
    metadata,
    Column("pair", LargeBinary, primary_key=True),
    Column("case_id", ForeignKey("cases.id"), nullable=False),
    Column("since", Float, nullable=False),
    Column("until", Float, nullable=False),
    Column("contacts", Integer, nullable=False),
)

restores = Table(
    "restores",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Float, nullable=False),
    Column("made_at", Float, nullable=False),
)
"""When the record was restored from a backup, and the time of that backup: events before may be missing."""
