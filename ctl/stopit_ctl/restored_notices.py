"""Resolves the notices that were pending in a restored case record (`cases.restoring` has the rules).

The restored record does not know whether they were sent after the backup was made; the ledger may know.
"""

from __future__ import annotations

from dataclasses import dataclass

from stopit_core.cases import CaseStore, MessageRow, Party
from stopit_core.cases.restoring import Restoring
from stopit_core.config import Settings
from stopit_core.identity.keys import Keyring, new_ref
from stopit_core.outgoing.facts import AlertFacts, AlertKind, MessageKind
from stopit_core.outgoing.render import Renderer
from stopit_ctl.console_output import local_time
from stopit_ctl.local_site import Site, opened_ledger, sqlite_file

__all__ = ["ResolvedNotices", "resolve_pending_notices"]


@dataclass(frozen=True, slots=True)
class ResolvedNotices:
    """The result: the number of notices that had been sent, and the cases whose notice was cancelled."""

    sent: int
    cancelled: tuple[str, ...]


def resolve_pending_notices(
    site: Site, settings: Settings, keyring: Keyring, store: CaseStore, made_at: float
) -> ResolvedNotices:
    """Make sure that nothing is sent twice from a record of the time `made_at`, in one transaction.

    A notice with a trace in the ledger becomes a sent one; any other is cancelled, and staff are told. Call it with
    the rights of the notifier's user. Raises ConfigError, Transient.
    """
    renderer = Renderer.load(settings.campus, settings.flag, settings.office, keyring, settings.notifier.templates)
    why = f"the case record was restored from a backup of {local_time(made_at)}"
    sent, cancelled = 0, []
    with store.work() as work:
        now = site.clock()
        restoring = Restoring(work)
        pending = restoring.waiting_notices()
        traced = _traced(site, settings, keyring, pending)
        for notice in pending:
            if notice.message_id in traced:
                restoring.record_as_sending(notice, made_at, now)
                sent += 1
                continue
            restoring.cancel(notice, why, now)
            case = work.case(notice.case_id)
            cancelled.append(case.number)
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
    return ResolvedNotices(sent, tuple(cancelled))


def _traced(site: Site, settings: Settings, keyring: Keyring, notices: list[MessageRow]) -> set[str]:
    """Return the Message-IDs of the notices that the ledger knows as sent by Stopit."""
    path = sqlite_file(settings.ledger.url)
    if not notices or (path is not None and not path.exists()):
        return set()
    with opened_ledger(settings.ledger, site.notifier_user.read) as ledger:
        return {
            each.message_id
            for each in notices
            if any(trace.own for trace in ledger.find(keyring.message(each.message_id)))
        }
