"""The first and the last row: the state of everything, and the versions."""

from __future__ import annotations

from stopit_dashboards.panel import HERE, Limits, Row, Unit
from stopit_dashboards.rows.shapes import stat, table

__all__ = ["VERSIONS", "WELL"]

_MILTERS = f'job="stopit-milter",{HERE}'
_NOTIFIERS = f'job="stopit-notifier",{HERE}'
_ALL = Limits(1, 0.01, falling=True)
"""Notable if not all answer, bad if none does."""
_YES = Limits(1, 1, falling=True)
_FIRING = f'ALERTS{{alertstate="firing",alertname=~"Stopit.+",{HERE}}}'
_RULES = "count(stopit:senders_notified:max)"
"""Exists if the rules are loaded. Without them, the absence of alerts means nothing."""

WELL = Row(
    "Is it well?",
    "If all is green, nothing is wrong. A red panel shows which row to read.",
    (
        stat(
            "alerts",
            "Alerts",
            "The number of firing alerts of Stopit. No data: Prometheus has not loaded its rules.",
            f"count({_FIRING}) or 0 * count(up{{{HERE}}}) and on () {_RULES}",
            Unit.COUNT,
            Limits(1, 1),
        ),
        stat(
            "milters-up",
            "Milters up",
            "The share of the configured milters that answer. While one is down, its host answers submissions with "
            "451.",
            f"avg(up{{{_MILTERS}}})",
            Unit.SHARE,
            _ALL,
        ),
        stat(
            "notifiers-up",
            "Notifiers up",
            "The share of the configured notifiers that answer. While all are down, reports wait in the queue.",
            f"avg(up{{{_NOTIFIERS}}})",
            Unit.SHARE,
            _ALL,
        ),
        stat(
            "ready",
            "Ready",
            "Whether every daemon can process a message or a report now. `stopitctl health` names the fault.",
            f"min(stopit_ready{{{HERE}}})",
            Unit.COUNT,
            _YES,
            ("not ready", "ready"),
        ),
        stat(
            "last-reload",
            "Last reload",
            "Whether every daemon runs with the configuration in its file. `stopitctl check` names the fault.",
            f"min(stopit_config_last_reload_successful{{{HERE}}})",
            Unit.COUNT,
            _YES,
            ("refused", "accepted"),
        ),
        stat(
            "queue-durable",
            "Queue",
            "Whether the queue's server keeps all reports in a power failure. `stopitctl doctor` names the setting.",
            f"min(stopit_queue_durable{{{HERE}}} >= 0)",
            Unit.COUNT,
            _YES,
            ("not durable", "durable"),
        ),
        table(
            "firing",
            "Firing alerts",
            "The runbook of the same name says what an alert means, how to look, and what to do.",
            ("severity", "alertname", "job", "instance"),
            _FIRING,
            counts=False,
        ),
    ),
)

VERSIONS = Row(
    "What runs where?",
    "One version everywhere, except during an upgrade.",
    (
        table(
            "versions",
            "Versions",
            "The version of each daemon that answers.",
            ("job", "instance", "version"),
            f"stopit_build_info{{{HERE}}}",
            counts=False,
        ),
    ),
)
