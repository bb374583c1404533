"""Writing to staff: an alert is a message in the outbox like any other, put there by the transaction that needs it.

So an alert is never sent for something that did not come to be, and never lost when the MTA is away. A flood of
reports makes one alert: the same thing about the same case is said once in 24 hours; all of it stands on the case.
"""

from __future__ import annotations

from stopit_core.cases import Case, Party, Work
from stopit_core.identity.keys import new_ref
from stopit_core.outgoing.facts import AlertFacts, MessageKind
from stopit_core.outgoing.render import Renderer

__all__ = ["alert"]

ONCE_IN = 86400.0
"""Seconds in which staff are told the same thing about a case once."""


def alert(
    work: Work, renderer: Renderer, staff_address: str, case: Case, facts: AlertFacts, now: float, *, observed: bool
) -> bool:
    """Put an alert in the outbox, to leave now; False when staff were told the same within the last 24 hours.

    `observed`: it is only written down, because nothing may be sent for what it is about.
    """
    about = _about(facts)
    if work.said_lately(case.id, MessageKind.STAFF_ALERT, about, staff_address, now - ONCE_IN):
        return False
    message = renderer.render(facts, recipient=staff_address, ref=new_ref(), at=now)
    work.enqueue(message, case.id, Party.STAFF, about, now, now, observed=observed)
    return True


def _about(facts: AlertFacts) -> str:
    """What counts as the same thing: the kind of alert, with the reason for it and the message that it is about."""
    return ":".join(str(part) for part in (facts.alert, facts.reason, facts.message) if part)
