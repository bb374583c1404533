"""Alerts to staff. An alert is a message in the outbox like any other, written by the transaction that needs it.

So no alert is sent for something that was rolled back, and none is lost while the MTA is away. A flood of reports
makes one alert: the same alert about the same case is sent at most once in 24 hours. The case has every report.
Urgent reports and what a reporter adds are alerted every time.
"""

from __future__ import annotations

from stopit_core.cases import Case, Party, Work
from stopit_core.identity.keys import new_ref
from stopit_core.outgoing.facts import AlertFacts, MessageKind
from stopit_core.outgoing.render import Renderer

__all__ = ["alert"]

ONCE_IN = 86400.0
"""Seconds within which the same alert about a case is sent once."""


def alert(
    work: Work,
    renderer: Renderer,
    staff_address: str,
    case: Case,
    facts: AlertFacts,
    now: float,
    *,
    observed: bool,
    every_time: bool = False,
) -> None:
    """Put an alert in the outbox, due now. Unless `every_time`, the same one is put there once in 24 hours.

    With `observed` it is recorded and not sent, because it is about something for which nothing may be sent.
    """
    about = _about(facts)
    if not every_time and work.was_written_since(
        case.id, MessageKind.STAFF_ALERT, about, staff_address, now - ONCE_IN
    ):
        return
    message = renderer.render(facts, recipient=staff_address, ref=new_ref(), at=now)
    work.enqueue(message, case.id, Party.STAFF, about, now, now, observed=observed)


def _about(facts: AlertFacts) -> str:
    """Return the key by which two alerts are the same: their kind, reason, and kind of message."""
    return ":".join(str(part) for part in (facts.alert, facts.reason, facts.message) if part)
