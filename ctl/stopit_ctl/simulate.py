"""`stopitctl simulate`: what the milter would do with a message, what the notifier would decide, and why.

The functions of the milter collect the message and return its disposition, under the same caps. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import BinaryIO

import click

from stopit_core.addresses import bare
from stopit_core.config import Settings
from stopit_core.decision.collector import collected
from stopit_core.decision.context import DecisionContext
from stopit_core.decision.disposition import Disposition, Precheck, dispose
from stopit_core.decision.identify import Finding, Identification, identify
from stopit_core.decision.policy import Decision, Outcome, PolicyFacts, Reason, ReportCounts, decide
from stopit_core.decision.transaction import Transaction
from stopit_core.envelope import Envelope
from stopit_core.flags import Flag, NamedOriginal, NotFlagged
from stopit_core.identity.people import People, Person
from stopit_core.mail import Headers, addresses_in, is_automatic
from stopit_core.model import AnswerReport, Digest, FlagReport, Original, Trace
from stopit_ctl.console_output import duration, local_time
from stopit_ctl.local_site import Site, opened_ledger
from stopit_ctl.message_file import split_message

__all__ = ["FINDINGS", "REASONS", "dispose_file", "simulate"]

_RECIPIENT_HEADERS = ("To", "Cc", "Bcc")

FINDINGS: Mapping[Finding, str] = MappingProxyType(
    {
        Finding.IDENTIFIED: "every pass agrees on one sender, and the reporter was a recipient",
        Finding.NO_ORIGINAL: "the flag names no message that can be read",
        Finding.NO_TRACE: "no trace of it in the ledger: it never passed here, or longer ago than ledger.retention",
        Finding.AMBIGUOUS: "nobody can be named: passes disagree, one names nobody, or there are too many",
        Finding.NOT_RECEIVED: "the reporter was not among the recipients",
        Finding.OWN_SERVICE: "it is Stopit's own mail",
    }
)

REASONS: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.NO_ORIGINAL: "the flag names no message; the reporter is told how to do it",
        Reason.OWN_MESSAGE: "it is the reporter's own message",
        Reason.SERVICE_MESSAGE: "it is a message of Stopit's own",
        Reason.REPORTER_NOT_VERIFIED: "nobody can tell whether the reporter is who the mail says",
        Reason.NO_TRACE: "the ledger does not know the message",
        Reason.AMBIGUOUS: "more than one could have sent it",
        Reason.NOT_A_RECIPIENT: "the reporter did not receive the message",
        Reason.SENDER_NOT_SURE: "the sender is known less surely than policy.minimum_assurance asks for",
        Reason.SENDER_EXCLUDED: "the sender is in policy.exclude, or is an address of Stopit's own",
        Reason.REPORTER_CAP: "the reporter has passed policy.reporter_daily_cap",
        Reason.SENDER_CAP: "the sender has passed policy.sender_daily_cap",
        Reason.MUTUAL: "the sender has reported the reporter, too",
        Reason.URGENT: "the reporter called it urgent",
        Reason.AGAIN_AFTER_NOTICE: "the message was sent after the sender's notice: it did not stop",
        Reason.SINGLE_RECIPIENT_REVIEW: 'there was no other recipient, and policy.single_recipient is "review"',
        Reason.RESTORED: "it passed before the case record was brought back from a backup, which may have forgotten",
        Reason.RECORD_ASKED: "the reporter asked only to keep it on record",
        Reason.NOTICE_PENDING: "a notice to this sender is on its way already",
        Reason.NOTICE_SENT: "the sender had a notice within policy.cooldown",
        Reason.SINGLE_RECIPIENT_ASK: 'there was no other recipient, and policy.single_recipient is "ask"',
        Reason.NOTICE_DUE: "nothing stands against it",
        Reason.REPORTER_AGREED: "the reporter agreed to it",
    }
)

_OUTCOMES: Mapping[Outcome, str] = MappingProxyType(
    {
        Outcome.REJECT: "no case follows; the reporter gets help",
        Outcome.STAFF_REVIEW: "staff decide; no notice is sent",
        Outcome.RECORD_ONLY: "it is kept on record; no further notice is sent",
        Outcome.WAIT: "Stopit asks the reporter, and sends a notice after a yes",
        Outcome.NOTICE: "the sender gets a notice",
    }
)


_UNTOUCHED = "Its recipients get it, and staff get no copy."


@click.command()
@click.argument("file", type=click.File("rb"))
@click.option("--login", metavar="NAME", default="", help="The SASL login that submits it. [default: nobody's]")
@click.option("--client", metavar="IP", default="", help="The client's address.")
@click.option(
    "--rcpt",
    "recipients",
    metavar="ADDR",
    multiple=True,
    help="RCPT TO; can be given again. [default: To, Cc and Bcc]",
)
@click.option(
    "--mail-from", metavar="ADDR", help='MAIL FROM; "" is the null sender. [default: the login\'s address, else From]'
)
@click.pass_obj
def simulate(
    site: Site, file: BinaryIO, login: str, client: str, recipients: tuple[str, ...], mail_from: str | None
) -> None:
    """Would the message in FILE be a flag, and what would be decided?

    FILE is a mail as a client sends it (.eml), - is standard input. It is
    treated as if it came now, with ledger and case record as they are.
    Nothing is written, and nothing sent.
    """
    settings = site.settings()
    with site.notifier_user.acting():
        context = DecisionContext.of(settings, site.notifier_user.read)
    raw = file.read()
    headers = Headers(split_message(raw)[0])
    envelope = _envelope(headers, context.people, login, client, recipients, mail_from)
    for line in _Simulation(site, settings, context, *dispose_file(raw, envelope, site.clock(), context)).story():
        site.output.line(line)


def dispose_file(
    raw: bytes, envelope: Envelope, at: float, context: DecisionContext
) -> tuple[Transaction, Precheck, Disposition]:
    """Return a message as the milter collects it at `at` (seconds since the epoch), its precheck and its disposition.

    `raw` is the content of the file. Where the precheck does not need the end of the message, the milter emits the
    disposition's traces and makes no edits.
    """
    fields, body = split_message(raw)
    transaction, checked = collected(envelope, fields, body, at, context)
    return transaction, checked, dispose(transaction, checked, context)


class _Undo(Exception):
    """Ends a transaction that must change nothing."""


@dataclass(frozen=True, slots=True)
class _Simulation:
    """One message, its disposition, and the site."""

    site: Site
    settings: Settings
    context: DecisionContext
    transaction: Transaction
    checked: Precheck
    disposition: Disposition

    def story(self) -> Iterator[str]:
        """Yield what would happen, line by line."""
        yield from self._came()
        disposition, recognised = self.disposition, self.disposition.recognised
        if self.checked.own:
            yield "Stopit's own mail: it is traced as such, and never a flag."
        elif disposition.answers:
            yield from map(self._answer, disposition.answers)
        elif isinstance(recognised, NotFlagged):
            yield recognised.sentence
        reporter = None
        if disposition.flag and isinstance(recognised, Flag):
            reporter = Person(disposition.flag.reporter, disposition.flag.reporter_assurance)
            yield f"A flag: channel {recognised.channel.value}, command {recognised.command.value}."
            yield f"Reporter: {_person(reporter)}."
        yield from self._milter()
        if reporter and isinstance(recognised, Flag):
            for named in recognised.originals or (None,):
                yield ""
                yield from self._original(recognised, named, reporter)

    def _came(self) -> Iterator[str]:
        envelope, people = self.transaction.envelope, self.context.people
        if not self.transaction.fields:
            yield "It has no header field. Is it a mail as a client sends it (.eml)?"
        recipients = ", ".join(map(bare, envelope.recipients)) or "nobody"
        yield f"MAIL FROM {envelope.mail_from or '<>'}, RCPT TO {recipients}."
        submitter = people.submitter(envelope)
        if envelope.login:
            known = submitter.address or "an address that the directory does not know"
            yield f"Submitted with the login {envelope.login}, who is {known}."
        elif envelope.relay:
            yield f"Submitted through a trusted relay, as {submitter.address or 'nobody'}."
        else:
            yield "Not submitted by a member: no login, and no trusted relay."

    def _answer(self, answer: AnswerReport) -> str:
        if self.context.keyring.is_self_test(answer.ref):
            return "The message of a self-test (stopitctl doctor --send-test): it reaches nobody."
        author = answer.author or "somebody outside"
        if is_automatic(self.transaction.headers, answer.null_sender):
            author = "a program"
        return f"An answer to {answer.ref}, from {author}: it goes on the case of that message."

    def _milter(self) -> Iterator[str]:
        """Yield what the milter answers and changes."""
        disposition, edits = self.disposition, self.disposition.edits
        if not self.checked.needs_end_of_message:
            yield "The milter accepts it at the end of its headers, unchanged, and does not read its body."
            return
        if disposition.flag:
            yield self._withheld(disposition.flag)
        elif disposition.answers and edits.removed_recipients:
            copy = "staff get a copy" if edits.added_recipients else "nobody gets a copy"
            yield f"The reply address gets nothing; {copy}."
        elif disposition.answers:
            yield _UNTOUCHED
        elif not edits:
            yield "The milter reads it and accepts it unchanged."
        if edits.removed_fields:
            names = ", ".join(sorted({name for name, _ in edits.removed_fields}))
            yield f"Header fields that only the milter may add are removed: {names}."
        if disposition.flag and disposition.flag.truncated:
            yield "It is longer than what the milter reads: messages that it carries may be missing."
        if self.context.observe and (disposition.flag or disposition.answers):
            yield 'milter.mode is "observe": all of this is only recorded.'

    def _withheld(self, flag: FlagReport) -> str:
        removed = self.disposition.edits.removed_recipients
        if flag.observed:
            return _UNTOUCHED
        if not removed:
            return "Its recipients get it; staff get a copy."
        if all(path in removed or self.context.is_staff(path) for path in self.transaction.envelope.recipients):
            return f"Withheld from all it is addressed to ({flag.withheld}); staff get the only copy."
        return f"Withheld from {', '.join(map(bare, removed))} alone; staff get a copy."

    def _original(self, flag: Flag, named: NamedOriginal | None, reporter: Person) -> Iterator[str]:
        original = Original(Digest(b""))
        traces: Sequence[Trace] = ()
        if named is None:
            yield "Original: none that can be read."
        else:
            original = Original(self.context.keyring.message(named.message_id), named.ambiguous)
            yield f"Original: <{named.message_id}>{', the first of several ids' if named.ambiguous else ''}."
            traces = self._traces(original)
            yield from (_pass(trace, self.context.people, reporter) for trace in traces)
        known = identify(original, traces, reporter.address, self.context.people)
        yield f"Ledger: {FINDINGS[known.finding]}."
        if known.sender.address:
            yield f"Sender: {_person(known.sender)}."
        decision = self._decide(flag, known, reporter)
        yield f"Decision: {decision.outcome.value} ({decision.reason.value}), because {REASONS[decision.reason]}."
        yield f"So {_OUTCOMES[decision.outcome]}{self._when(decision)}."

    def _traces(self, original: Original) -> Sequence[Trace]:
        with (
            self.site.notifier_user.acting(),
            opened_ledger(self.settings.ledger, self.site.notifier_user.read) as ledger,
        ):
            return ledger.find(original.message)

    def _decide(self, flag: Flag, known: Identification, reporter: Person) -> Decision:
        now, rules, campus = self.site.clock(), self.settings.policy, self.settings.campus
        sender = known.sender.address
        observed = self.settings.milter.mode == "observe"
        counts, restored_at = ReportCounts(), 0.0
        with self.site.cases(self.settings) as store, suppress(_Undo), store.work() as work:
            counts = work.report_counts(reporter.address, sender, now, rules.cooldown, observed)
            restored_at = work.restored_at()
            raise _Undo
        own = frozenset({campus.report_address, campus.staff_address})
        excluded = own if sender.isascii() else own | {sender}
        facts = PolicyFacts(
            now=now,
            draw=0.0,
            reporter=reporter,
            command=flag.command,
            identification=known,
            report_counts=counts,
            excluded=excluded,
            restored_at=restored_at,
        )
        return decide(facts, rules)

    def _when(self, decision: Decision) -> str:
        if decision.outcome is not Outcome.NOTICE:
            return ""
        shortest, longest = self.settings.policy.notice_delay
        return f" after {duration(shortest)} to {duration(longest)}, unless the reporter cancels it"


def _envelope(
    headers: Headers, people: People, login: str, client: str, recipients: tuple[str, ...], mail_from: str | None
) -> Envelope:
    found = recipients or tuple(
        address for name in _RECIPIENT_HEADERS for value in headers.all(name) for address in addresses_in(value)
    )
    if mail_from is None:
        written = addresses_in(headers.first("From") or "")
        mail_from = people.of_login(login) or (written[0] if written else "")
    return Envelope(
        login=login,
        relay=people.is_relay(client),
        client=client,
        mail_from=bare(mail_from),
        recipients=tuple(f"<{bare(address)}>" for address in found),
    )


def _pass(trace: Trace, people: People, reporter: Person) -> str:
    received = bool(reporter.address) and trace.received_by(people.digest(reporter.address))
    by = f"login {trace.login}" if trace.login else f"no login, From {trace.header_from or 'nobody'}"
    return (
        f"  passed {local_time(trace.seen)} as {trace.queue_id or 'an unknown queue id'}: {by},"
        f" {_recipients(trace)}, the reporter {'' if received else 'not '}among them"
        f"{', sent by Stopit itself' if trace.own else ''}"
    )


def _recipients(trace: Trace) -> str:
    return "1 recipient" if trace.recipient_count == 1 else f"{trace.recipient_count} recipients"


def _person(person: Person) -> str:
    return f"{person.address} ({person.assurance.name.lower()})" if person.address else "nobody who can be named"
