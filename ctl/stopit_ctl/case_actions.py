"""What staff do about a case by hand: a notice, a note, the end of it. Each is on its history, with who did it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import click

from stopit_core.cases import Actor, Case, CaseState, EventKind, Message, MessageState, Party, ReportRow, Work
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
@click.option("--firmer", is_flag=True, help="The firmer notice, for a sender who has had the first.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.pass_obj
def notice(site: Site, number: str, firmer: bool, yes: bool) -> None:
    """Send the sender of case NUMBER a notice now.

    Only where the sender is known as surely as policy.minimum_assurance asks
    for. See its words first: `stopitctl preview notice --firmer`. The notifier
    sends it; the case's history says that staff asked for it, and who.
    """
    settings = site.settings()
    keyring = site.keyring(settings)
    kind = MessageKind.FIRMER_NOTICE if firmer else MessageKind.NOTICE
    with site.notifier_user.acting():
        renderer = Renderer.load(
            settings.campus, settings.flag, settings.office, keyring, settings.notifier.templates
        )
    with _file(site, settings, number) as file:
        file.must_allow(kind, settings)
        sender = file.case.sender
    if not yes:
        click.confirm(f"Send the {_name(kind)} to {sender}, about case {file.case.number}?", abort=True)
    with _file(site, settings, number) as file:
        file.work.lock(file.case.sender)
        reports = file.must_allow(kind, settings)
        now = site.clock()
        facts = NoticeFacts(file.case.number, renderer.day(reports[0].message_sent_at), firmer)
        message = renderer.render(facts, recipient=file.case.sender, ref=new_ref(), at=now)
        file.say(now, f"asked for the {_name(kind)}")
        message_id = file.work.enqueue(message, file.case.id, Party.SENDER, kind.value, now, now)
        for row in reports:  # as after one that policy decided: these pairs are watched from it on
            file.work.join_notice(row.key, message_id)
        file.work.set_state(file.case.id, CaseState.NOTICE_PENDING, now, Actor.STAFF)
    site.output.line(f"The {_name(kind)} is in the outbox; stopit-notifier sends it within a minute.")


@click.command("note")
@click.argument("number")
@click.argument("text")
@click.pass_obj
def note(site: Site, number: str, text: str) -> None:
    """Put TEXT on the history of case NUMBER."""
    with _file(site, site.settings(), number) as file:
        file.say(site.clock(), text)
    site.output.line(f"Noted on {file.case.number}.")


@click.command("close")
@click.argument("number")
@click.option("--note", "text", required=True, help="Why; it stands on the history.")
@click.pass_obj
def close(site: Site, number: str, text: str) -> None:
    """Close case NUMBER.

    A closed case is kept. A new report about the same sender opens another
    one.
    """
    with _file(site, site.settings(), number) as file:
        if file.case.state is CaseState.CLOSED:
            raise file.refuse("is closed already")
        now = site.clock()
        file.say(now, text)
        file.work.set_state(file.case.id, CaseState.CLOSED, now, Actor.STAFF)
        leaving = [each for each in file.messages() if each.state in _WAITING and each.party is Party.SENDER]
    site.output.line(f"{file.case.number} is closed.")
    for each in leaving:
        site.output.line(f"Its {each.kind} still leaves, at {local_time(each.due_at)}: it was decided before.")


@dataclass(frozen=True, slots=True)
class _File:
    """One case inside one transaction."""

    site: Site
    work: Work
    reading: Reading
    case: Case

    def messages(self) -> list[Message]:
        return self.reading.messages(self.case)

    def say(self, now: float, text: str) -> None:
        """A line of staff's on the history."""
        self.work.note(self.case.id, now, Actor.STAFF, EventKind.NOTE, by=operator(), text=text)

    def must_allow(self, kind: MessageKind, settings: Settings) -> list[ReportRow]:
        """The reports that this notice would be for; ends the program where it must not be sent."""
        case, wanted = self.case, settings.policy.minimum_assurance
        if not case.sender or case.sender_assurance < wanted:
            known = f"only as {case.sender_assurance.name.lower()}" if case.sender else "not at all"
            raise self.refuse(
                f"cannot have a notice: the sender is known {known}, and policy.minimum_assurance is"
                f" {wanted.name.lower()}. Nobody gets a notice for what they may not have sent"
            )
        if case.sender in (settings.campus.report_address, settings.campus.staff_address):
            raise self.refuse("is about an address of Stopit's own")
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
                "cannot have the firmer notice: it says that mail was sent after the last one"
                f" ({local_time(since)}), and no report of such mail stands"
                if since
                else "cannot have a notice: no report stands that led to none so far"
            )
        return sorted(rows, key=lambda row: (row.decided_at, row.key))

    def _last_notice(self, kind: MessageKind, cooldown: float) -> float:
        """When the sender got the notice that a firmer one follows; 0.0 for a first one. One of each, in order."""
        before = self.work.living_notice(self.case.sender, observed=False)
        if before is not None and before.sent_at is None:
            raise self.refuse(f"cannot have a notice: the sender's last one is {before.state.value}")
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
        """Say why not."""
        self.site.output.error(f"stopitctl: case {self.case.number} {why}")
        return click.exceptions.Exit(EX_FOUND)


@contextmanager
def _file(site: Site, settings: Settings, number: str) -> Iterator[_File]:
    """The case with this number, open for writing: all that the block does is done at its end, or nothing."""
    with site.cases(settings) as store, store.work() as work:
        reading = Reading(work.flushed_connection())
        yield _File(site, work, reading, case_of_number(site.output, reading, number))


def _name(kind: MessageKind) -> str:
    return kind.value.replace("-", " ")
