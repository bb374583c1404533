"""What a case record that was brought back has forgotten, and who is told (`cases.restoring` has the rules)."""

from __future__ import annotations

from dataclasses import dataclass

from stopit_core.cases import CaseStore, Message, Party
from stopit_core.cases.restoring import Restoring
from stopit_core.config import Settings
from stopit_core.identity.keys import Keyring, new_ref
from stopit_core.outgoing.facts import AlertFacts, AlertKind, MessageKind
from stopit_core.outgoing.render import Renderer
from stopit_ctl.console_output import local_time
from stopit_ctl.local_site import Site, opened_ledger, sqlite_file

__all__ = ["SettledNotices", "settle_pending_notices"]


@dataclass(frozen=True, slots=True)
class SettledNotices:
    """What was done: how many notices had left as the ledger shows, and the cases whose notice was called off."""

    had_left: int
    called_off: tuple[str, ...]


def settle_pending_notices(
    site: Site, settings: Settings, keyring: Keyring, store: CaseStore, made_at: float
) -> SettledNotices:
    """See to it that nothing is sent twice from a record that is of `made_at`. One transaction.

    To be called as the notifier's user. Raises ConfigError, Transient.
    """
    renderer = Renderer.load(settings.campus, settings.flag, settings.office, keyring, settings.notifier.templates)
    why = f"the case record was brought back from a backup of {local_time(made_at)}"
    had_left, called_off = 0, []
    with store.work() as work:
        now = site.clock()
        restoring = Restoring(work)
        waiting = restoring.waiting_notices()
        traced = _traced(site, settings, keyring, waiting)
        for notice in waiting:
            if notice.message_id in traced:
                restoring.had_left(notice, made_at, now)
                had_left += 1
                continue
            restoring.call_off(notice, why, now)
            case = work.case(notice.case_id)
            called_off.append(case.number)
            facts = AlertFacts(
                AlertKind.RESTORED,
                case.number,
                sender=case.sender,
                sender_assurance=case.sender_assurance,
                message=MessageKind(notice.kind),
            )
            message = renderer.render(facts, recipient=settings.campus.staff_address, ref=new_ref(), at=now)
            work.enqueue(message, case.id, Party.STAFF, f"restored:{notice.kind}", now, now)
        restoring.mark(made_at, now)
    return SettledNotices(had_left, tuple(called_off))


def _traced(site: Site, settings: Settings, keyring: Keyring, notices: list[Message]) -> set[str]:
    """The Message-IDs of those that the ledger knows as sent by Stopit."""
    path = sqlite_file(settings.ledger.url)
    if not notices or (path is not None and not path.exists()):
        return set()
    with opened_ledger(settings.ledger, site.notifier_user.read) as ledger:
        return {
            each.message_id
            for each in notices
            if any(trace.own for trace in ledger.find(keyring.message(each.message_id)))
        }
