"""`stopitctl cases`: looking at the record.

A postmaster's terminal is scrolled back, copied into tickets and shared: so people are shown as the digests that the
log has too, and in full only when somebody asks for it.
"""

from __future__ import annotations

import email.policy
from collections.abc import Iterator
from dataclasses import dataclass
from email.parser import BytesParser

import click

from stopit_core.addresses import is_address
from stopit_core.cases import Case, CaseState, Event, Message, MessageState, ReportRow
from stopit_core.cases.reading import Reading
from stopit_core.identity.keys import Keyring
from stopit_ctl.cli import EX_FOUND
from stopit_ctl.console_output import ConsoleOutput, local_time
from stopit_ctl.local_site import Site

__all__ = ["case_of_number", "cases_group"]

_SHOWN = 50
_HEADERS = ("From", "To", "Subject")
_TYPED = "text"
"""The detail of an event that holds what a person typed."""
_DUE = "due_at"
"""The one that holds a time."""


@click.group("cases")
def cases_group() -> None:
    """The case record: who was reported, what was decided, what was sent.

    Times are this host's own. People are shown as the digests that the log
    has, unless --addresses is given.
    """


@cases_group.command("list")
@click.option("--state", type=click.Choice([state.value for state in CaseState]), help="Only cases in this state.")
@click.option("--limit", type=click.IntRange(min=1), default=_SHOWN, show_default=True, help="So many.")
@click.option("--addresses", is_flag=True, help="Show addresses, not their digests.")
@click.pass_obj
def list_command(site: Site, state: str | None, limit: int, addresses: bool) -> None:
    """List cases, those that changed last first."""
    settings = site.settings()
    people = _People(site.keyring(settings), addresses)
    with site.cases(settings) as store, store.reading() as reading:
        found = reading.list_cases(CaseState(state) if state else None, limit)
        rows = [_row(reading, case, people) for case in found]
    if not rows:
        site.output.line("No case." if state is None else f"No case in state {state}.")
        return
    site.output.table(("CASE", "STATE", "OPENED", "CHANGED", "REPORTS", "SENDER"), rows)


@cases_group.command("show")
@click.argument("number")
@click.option("--addresses", is_flag=True, help="Show addresses and what people typed.")
@click.option("--text", is_flag=True, help="Print the messages too, as they were written. They hold addresses.")
@click.pass_obj
def show_command(site: Site, number: str, addresses: bool, text: bool) -> None:
    """Show a case: reports, decisions, messages, history.

    Exits with 1 when the history does not hold: every line of it is chained
    to the one before by a hash, so that no line can be changed later.
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
            f"stopitctl: the history of {case.number} does not hold from line {broken} on: it was changed outside of"
            " Stopit. Compare it with a backup of the case record"
        )
        raise click.exceptions.Exit(EX_FOUND)
    site.output.line(f"The history holds: {len(events)} lines.")
    if not (addresses or text):
        site.output.line("People are shown as digests; --addresses shows their addresses.")


def case_of_number(output: ConsoleOutput, reading: Reading, number: str) -> Case:
    """The case with this number; ends the program when there is none."""
    case = reading.case(number)
    if case is None:
        output.error(f"stopitctl: there is no case {number}; `stopitctl cases list` shows what there is")
        raise click.exceptions.Exit(EX_FOUND)
    return case


@dataclass(frozen=True, slots=True)
class _People:
    """How people are shown."""

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
            ("sender", f"{people.shown(case.sender)} ({assurance})" if case.sender else "nobody is identified"),
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
    said = f"{row.outcome.value}: {row.reason.value}"
    if row.observed:
        said += " (observed only)"
    return f"{said}, called off {local_time(row.withdrawn_at)}" if row.withdrawn_at is not None else said


def _show_messages(output: ConsoleOutput, messages: list[Message], people: _People) -> None:
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


def _recipient(message: Message, people: _People) -> str:
    return f"{message.party.value} {message.recipient}" if people.addresses else message.party.value


def _state(message: Message) -> str:
    return f"{message.state.value} ({message.error})" if message.error else message.state.value


def _when(message: Message) -> str:
    if message.sent_at is not None:
        return local_time(message.sent_at)
    waits = message.state in (MessageState.PENDING, MessageState.SENDING, MessageState.OBSERVED)
    return f"due {local_time(message.due_at)}" if waits else ""


def _show_text(output: ConsoleOutput, message: Message) -> None:
    output.line(f"Message {message.ref}", style="bold")
    output.text("\n".join(_lines(message.data)))
    output.line()


def _lines(data: bytes) -> Iterator[str]:
    """A message of ours as a mail client shows it."""
    parsed = BytesParser(policy=email.policy.default).parsebytes(data)
    yield from (f"{name}: {parsed[name]}" for name in _HEADERS)
    yield ""
    yield from (line.rstrip() for line in parsed.get_content().splitlines())
