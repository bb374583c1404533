"""All panels, in the order in which an operator looks at night: is it well, does mail pass, do members flag, does
anything wait, does the notifier work, do staff have work, does it stop, and what runs where.

All daemons export the same values about a shared store (queue, cases, senders), so these are aggregated with `max`;
values of the daemon itself are added up. Rates are computed from scraped series and not taken from the recording
rules, which sum over instances, so that one instance can be selected, also on a server without the rules. The limits
are those of the alerts. Only what no scraped series has is taken from the rules (`stopit:...`, ALERTS).
"""

from __future__ import annotations

from stopit_dashboards.panel import Panel, Row
from stopit_dashboards.rows.cases import STAFF, STOPS
from stopit_dashboards.rows.milter import FLAGS, MAIL
from stopit_dashboards.rows.notifier import NOTIFIER, WAITING
from stopit_dashboards.rows.overview import VERSIONS, WELL

__all__ = ["ROWS", "TARGETS", "panels"]

TARGETS = 'up{job=~"stopit-.+"}'
"""Every daemon in the configuration of Prometheus, also one that does not answer."""

ROWS: tuple[Row, ...] = (WELL, MAIL, FLAGS, WAITING, NOTIFIER, STAFF, STOPS, VERSIONS)
"""The dashboard."""


def panels() -> tuple[Panel, ...]:
    """Return all panels, in order."""
    return tuple(panel for row in ROWS for panel in row.panels)
