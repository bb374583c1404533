"""`stopitctl cases notice`, `note` and `close`: staff act on a case; its history has the name of the operator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import click

from stopit_core.cases import Actor, Case, CaseState, EventKind, MessageRow, MessageState, Party, ReportRow, Work
from stopit_core.cases.reading import Reading
from stopit_core.config import Settings
from stopit_core.decision.policy import Reason
from stopit_core.identity.keys import new_ref
from stopit_core.outgoing.facts import MessageKind, NoticeFacts
from stopit_core.outgoing.render import Renderer
from stopit_ctl.cases import case_of_number
from stopit_ctl.cli import EX_FOUND
from stopit_ctl.console_output import local_time
from stopit_ctl.local_site import Site
from stopit_ctl.service_user import operator

__all__ = ["close", "note", "notice"]

_WAITING = (MessageState.PENDING, MessageState.SENDING)


@click.command("notice")
@click.argument("number")
@click.option("--firmer", is_flag=True, help="Send the firmer notice, to a sender who got the first one.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.pass_obj
def notice(site: Site, number: str, firmer: bool, yes: bool) -> None:
    """Send the sender of case NUMBER a notice now.

    The sender must be known with at least policy.minimum_assurance. Read the
    text first: `stopitctl preview notice --firmer`. The notifier sends the
    notice; the case's history has the name of the operator who asked for it.
    """
    settings = site.settings()
    keyring = site.keyring(settings)
    kind = MessageKind.FIRMER_NOTICE if firmer else MessageKind.NOTICE
    with site.notifier_user.acting():
        renderer = Renderer.load(
            settings.campus, settings.flag, settings.office, keyring, settings.notifier.templates
        )
    with _open_case(site, settings, number) as opened:
        opened.reports_for(kind, settings)
        sender = opened.case.sender
    if not yes:
        click.confirm(f"Send the {_name(kind)} to {sender}, about case {opened.case.number}?", abort=True)
    with _open_case(site, settings, number) as opened:
        opened.work.lock(opened.case.sender)
        reports = opened.reports_for(kind, settings)
        now = site.clock()
        facts = NoticeFacts(opened.case.number, renderer.day(reports[0].message_sent_at), firmer)
        message = renderer.render(facts, recipient=opened.case.sender, ref=new_ref(), at=now)
        opened.add_note(now, f"asked for the {_name(kind)}")
        message_id = opened.work.enqueue(message, opened.case.id, Party.SENDER, kind.value, now, now)
        for row in reports:  # as after a decision: these pairs are watched from now on
            opened.work.join_notice(row.key, message_id)
        opened.work.set_state(opened.case.id, CaseState.NOTICE_PENDING, now, Actor.STAFF)
    site.output.line(f"The {_name(kind)} is in the outbox; stopit-notifier sends it within a minute.")


@click.command("note")
@click.argument("number")
@click.argument("text")
@click.pass_obj
def note(site: Site, number: str, text: str) -> None:
    """Add TEXT to the history of case NUMBER."""
    with _open_case(site, site.settings(), number) as opened:
        opened.add_note(site.clock(), text)
    site.output.line(f"Added to the history of case {opened.case.number}.")


@click.command("close")
@click.argument("number")
@click.option("--note", "text", required=True, help="The reason, for the history.")
@click.pass_obj
def close(site: Site, number: str, text: str) -> None:
    """Close case NUMBER.

    A closed case stays in the record. A new report about the same sender opens
    another case.
    """
    with _open_case(site, site.settings(), number) as opened:
        if opened.case.state is CaseState.CLOSED:
            raise opened.refuse("is already closed")
        now = site.clock()
        opened.add_note(now, text)
        opened.work.set_state(opened.case.id, CaseState.CLOSED, now, Actor.STAFF)
        unsent = [each for each in opened.messages() if each.state in _WAITING and each.party is Party.SENDER]
    site.output.line(f"Case {opened.case.number} is closed.")
    for each in unsent:
        site.output.line(f"Its {each.kind} is still sent, at {local_time(each.due_at)}: it was decided before.")


@dataclass(frozen=True, slots=True)
class _OpenCase:
    """A case inside a transaction."""

    site: Site
    work: Work
    reading: Reading
    case: Case

    def messages(self) -> list[MessageRow]:
        return self.reading.messages(self.case)

    def add_note(self, now: float, text: str) -> None:
        """Add a note of staff to the history."""
        self.work.note(self.case.id, now, Actor.STAFF, EventKind.NOTE, by=operator(), text=text)

    def reports_for(self, kind: MessageKind, settings: Settings) -> list[ReportRow]:
        """Return the reports that this notice is for; raise Exit with the reason where it must not be sent."""
        case, wanted = self.case, settings.policy.minimum_assurance
        if not case.sender or case.sender_assurance < wanted:
            assurance = case.sender_assurance.name.lower()
            known = f"the assurance of the sender is {assurance}" if case.sender else "the sender is unknown"
            raise self.refuse(
                f"cannot have a notice: {known}, and policy.minimum_assurance is {wanted.name.lower()}. Nobody"
                " gets a notice for mail that somebody else may have sent"
            )
        if case.sender in (settings.campus.report_address, settings.campus.staff_address):
            raise self.refuse("cannot have a notice: the sender is an address of Stopit itself")
        if settings.milter.mode == "observe":
            raise self.refuse('cannot have a notice while milter.mode is "observe": nothing is sent')
        since = self._last_notice(kind, settings.policy.cooldown)
        rows = [
            row
            for row in self.reading.reports(self.case)
            if row.notice_id is None
            and row.withdrawn_at is None
            and row.sender == case.sender
            and row.message_sent_at > since
            and row.reason is not Reason.NOT_A_RECIPIENT
        ]
        if not rows:
            raise self.refuse(
                f"cannot have the firmer notice: no valid report is about mail sent after the last notice"
                f" ({local_time(since)})"
                if since
                else "cannot have a notice: there is no valid report that has not led to one yet"
            )
        return sorted(rows, key=lambda row: (row.decided_at, row.key))

    def _last_notice(self, kind: MessageKind, cooldown: float) -> float:
        """Return when the sender got the first notice, for the firmer one; 0.0 for a first notice."""
        before = self.work.current_notice(self.case.sender, observed=False)
        if before is not None and before.sent_at is None:
            raise self.refuse(f"cannot have a notice: the state of the sender's last one is {before.state.value}")
        sent_at = before.sent_at or 0.0 if before is not None else 0.0
        if kind is MessageKind.FIRMER_NOTICE:
            if not sent_at:
                raise self.refuse("cannot have the firmer notice: the sender never got the first one")
            return sent_at
        if sent_at and self.site.clock() - sent_at < cooldown:
            raise self.refuse(
                f"cannot have a first notice: the sender got one on {local_time(sent_at)}; see --firmer"
            )
        return 0.0

    def refuse(self, why: str) -> click.exceptions.Exit:
        """Print the reason for a refusal."""
        self.site.output.error(f"stopitctl: case {self.case.number} {why}")
        return click.exceptions.Exit(EX_FOUND)


@contextmanager
def _open_case(site: Site, settings: Settings, number: str) -> Iterator[_OpenCase]:
    """Open the case with this number in a transaction, which is committed when the block ends without an error."""
    with site.cases(settings) as store, store.work() as work:
        reading = Reading(work.flushed_connection())
        yield _OpenCase(site, work, reading, case_of_number(site.output, reading, number))


def _name(kind: MessageKind) -> str:
    return kind.value.replace("-", " ")
