"""The rows of the case record: the work of staff, and the effect of notices."""

from __future__ import annotations

from stopit_dashboards.panel import HERE, Limits, Row, Unit
from stopit_dashboards.rows.shapes import graph, stat

__all__ = ["STAFF", "STOPS"]

_DAY = 86400

STAFF = Row(
    "Do staff have work?",
    "For the day. Cases that wait for a person do not close by themselves.",
    (
        graph(
            "staff-oldest",
            "Longest wait of a case for staff",
            "The time since it came to staff, or since they last worked on it.",
            {"oldest": f"max(stopit_staff_case_oldest_age_seconds{{{HERE}}})"},
            Unit.SECONDS,
            Limits(2 * _DAY, 3 * _DAY),
        ),
        graph(
            "cases",
            "Cases, by state",
            "The number of cases. Those in state staff wait for a person.",
            {"{state}": f"max by (state) (stopit_cases{{{HERE}}})"},
        ),
    ),
)

STOPS = Row(
    "Does it stop?",
    "For the day. This is the purpose of Stopit.",
    (
        stat(
            "senders-notified",
            "Senders with a notice",
            "Senders on record who have been sent a notice.",
            f"max(stopit_senders_notified{{{HERE}}})",
        ),
        stat(
            "recurred",
            "Reported again",
            "The share of these senders who were reported for mail sent after the notice.",
            f"max(stopit_senders_recurred{{{HERE}}}) / clamp_min(max(stopit_senders_notified{{{HERE}}}), 1)",
            Unit.SHARE,
            Limits(0.1, 0.25),
        ),
        stat(
            "contacts",
            "Contacts after a notice, in 30 days",
            "Messages from a notified sender to the reporter. Not all are harassment; staff see them in the case.",
            f"sum(increase(stopit_contacts_after_notice_total{{{HERE}}}[30d]))",
        ),
        graph(
            "share",
            "Share of senders reported again",
            "Whether the share grows. No data until the first notice.",
            {"share": f"stopit:recurrence:ratio{{{HERE}}}"},
            Unit.SHARE,
        ),
        graph(
            "recurrence",
            "Senders after the notice",
            "Whether the second line stays low while the first one rises.",
            {
                "notified": f"max(stopit_senders_notified{{{HERE}}})",
                "reported again": f"max(stopit_senders_recurred{{{HERE}}})",
            },
        ),
    ),
)
