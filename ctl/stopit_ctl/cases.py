"""`stopitctl cases`: list and show cases.

A postmaster's terminal is scrolled back, copied into tickets and shared. People are therefore shown as digests, as in
the log, and by address only with --addresses.
"""

from __future__ import annotations

from dataclasses import dataclass

import click

from stopit_core.addresses import is_address
from stopit_core.cases import Case, CaseState, Event, MessageRow, MessageState, ReportRow
from stopit_core.cases.reading import Reading
from stopit_core.identity.keys import Keyring
from stopit_ctl.cli import EX_FOUND
from stopit_ctl.console_output import ConsoleOutput, local_time
from stopit_ctl.local_site import Site
from stopit_ctl.message_text import message_text

__all__ = ["case_of_number", "cases_group"]

_SHOWN = 50
_TYPED = "text"
"""The detail of an event that holds text written by a person."""
_DUE = "due_at"
"""The detail of an event that holds a time."""


@click.group("cases")
def cases_group() -> None:
    """The case record: reports, decisions and messages.

    Times are in this host's time zone. People are shown as digests, as in the
    log, unless --addresses is given.
    """


@cases_group.command("list")
@click.option("--state", type=click.Choice([state.value for state in CaseState]), help="Only cases in this state.")
@click.option("--limit", type=click.IntRange(min=1), default=_SHOWN, show_default=True, help="Number of cases.")
@click.option("--addresses", is_flag=True, help="Show addresses instead of digests.")
@click.pass_obj
def list_command(site: Site, state: str | None, limit: int, addresses: bool) -> None:
    """List cases, the last changed first."""
    settings = site.settings()
    people = _People(site.keyring(settings), addresses)
    with site.cases(settings) as store, store.reading() as reading:
        found = reading.list_cases(CaseState(state) if state else None, limit)
        rows = [_row(reading, case, people) for case in found]
    if not rows:
        site.output.line("There are no cases." if state is None else f"There are no cases in state {state}.")
        return
    site.output.table(("CASE", "STATE", "OPENED", "CHANGED", "REPORTS", "SENDER"), rows)


@cases_group.command("show")
@click.argument("number")
@click.option("--addresses", is_flag=True, help="Show addresses, and the text that people wrote.")
@click.option("--text", is_flag=True, help="Print the text of the messages, with addresses.")
@click.pass_obj
def show_command(site: Site, number: str, addresses: bool, text: bool) -> None:
    """Show a case: reports, decisions, messages, history.

    Each entry of the history contains a hash of the entry before it, so a
    change shows. The exit code is 1 when the history was changed.
    """
    settings = site.settings()
    people = _People(site.keyring(settings), addresses)
    with site.cases(settings) as store, store.reading() as reading:
        case = case_of_number(site.output, reading, number)
        reports, messages, events = reading.reports(case), reading.messages(case), reading.events(case)
        broken = reading.broken_at(case)
    _show_case(site.output, case, reports, people)
    _show_messages(site.output, messages, people)
    if text:
        for message in messages:
            _show_text(site.output, message)
    site.output.line("History", style="bold")
    site.output.table(
        ("WHEN", "WHO", "WHAT", "DETAILS"),
        [(local_time(event.at), event.actor.value, event.kind.value, people.detail(event)) for event in events],
    )
    site.output.line()
    if broken is not None:
        site.output.error(
            f"stopitctl: the history of {case.number} is not intact from entry {broken} on: it was changed outside"
            " Stopit. Compare it with a backup of the case record"
        )
        raise click.exceptions.Exit(EX_FOUND)
    site.output.line(f"The history is intact: {len(events)} entries.")
    if not (addresses or text):
        site.output.line("People are shown as digests; --addresses shows addresses.")


def case_of_number(output: ConsoleOutput, reading: Reading, number: str) -> Case:
    """Return the case with this number; print an error and raise Exit without one."""
    case = reading.case(number)
    if case is None:
        output.error(f"stopitctl: there is no case {number}; `stopitctl cases list` shows all")
        raise click.exceptions.Exit(EX_FOUND)
    return case


@dataclass(frozen=True, slots=True)
class _People:
    """Formats people as digests or addresses."""

    keyring: Keyring
    addresses: bool

    def shown(self, address: str) -> str:
        if not address:
            return "-"
        return address if self.addresses else self.keyring.log(address)

    def detail(self, event: Event) -> str:
        return "  ".join(f"{name}={self._value(name, value)}" for name, value in event.detail.items())

    def _value(self, name: str, value: str) -> str:
        if name == _DUE:
            return local_time(float(value))
        if self.addresses:
            return value
        if name == _TYPED:
            return f"({len(value)} characters)"
        return self.keyring.log(value) if is_address(value) else value


def _row(reading: Reading, case: Case, people: _People) -> tuple[str, ...]:
    return (
        case.number,
        case.state.value,
        local_time(case.opened_at),
        local_time(case.changed_at),
        str(len(reading.reports(case))),
        people.shown(case.sender),
    )


def _show_case(output: ConsoleOutput, case: Case, reports: list[ReportRow], people: _People) -> None:
    assurance = case.sender_assurance.name.lower()
    output.line(f"Case {case.number}", style="bold")
    output.fields(
        (
            ("state", case.state.value),
            ("sender", f"{people.shown(case.sender)} ({assurance})" if case.sender else "not identified"),
            ("opened", local_time(case.opened_at)),
            ("changed", local_time(case.changed_at)),
        )
    )
    output.line()
    output.line("Reports", style="bold")
    output.table(
        ("WHEN", "REPORTER", "KNOWN AS", "CHANNEL", "COMMAND", "DECISION"),
        [
            (
                local_time(row.at),
                people.shown(row.reporter),
                row.reporter_assurance.name.lower(),
                row.channel.value,
                row.command.value,
                _decision(row),
            )
            for row in reports
        ],
    )
    output.line()


def _decision(row: ReportRow) -> str:
    text = f"{row.outcome.value}: {row.reason.value}"
    if row.observed:
        text += " (observed only)"
    return f"{text}, cancelled {local_time(row.withdrawn_at)}" if row.withdrawn_at is not None else text


def _show_messages(output: ConsoleOutput, messages: list[MessageRow], people: _People) -> None:
    output.line("Messages", style="bold")
    if not messages:
        output.line("none")
    else:
        output.table(
            ("REF", "KIND", "ABOUT", "TO", "STATE", "WHEN"),
            [
                (each.ref, each.kind, each.about, _recipient(each, people), _state(each), _when(each))
                for each in messages
            ],
        )
    output.line()


def _recipient(message: MessageRow, people: _People) -> str:
    return f"{message.party.value} {message.recipient}" if people.addresses else message.party.value


def _state(message: MessageRow) -> str:
    return f"{message.state.value} ({message.error})" if message.error else message.state.value


def _when(message: MessageRow) -> str:
    if message.sent_at is not None:
        return local_time(message.sent_at)
    waits = message.state in (MessageState.PENDING, MessageState.SENDING, MessageState.OBSERVED)
    return f"due {local_time(message.due_at)}" if waits else ""


def _show_text(output: ConsoleOutput, message: MessageRow) -> None:
    output.line(f"Message {message.ref}", style="bold")
    output.text(message_text(message.data))
    output.line()
