"""`stopitctl simulate`: what would become of a message, and why. Reads what the milter and the notifier would read,
asks the same pure functions, and writes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import BinaryIO

import click

from stopit_core.addresses import bare
from stopit_core.config import Settings
from stopit_core.decision.identify import Finding, Identification, identify
from stopit_core.decision.policy import Decision, Outcome, PolicyFacts, Reason, ReportCounts, decide
from stopit_core.envelope import Envelope
from stopit_core.flags import Flag, FlagRules, NamedOriginal, NotFlagged, load_recognisers
from stopit_core.identity.people import People, Person
from stopit_core.identity.reporter import reporter_of
from stopit_core.mail import Mail, addresses_in, read_message
from stopit_core.model import Digest, Original, Trace
from stopit_ctl.console_output import duration, local_time
from stopit_ctl.site import Site, opened_ledger

__all__ = ["FINDINGS", "REASONS", "simulate"]

_READ = 4 * 1024 * 1024
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
    judged as if it came now, by ledger and case record as they are. Nothing
    is written, and nothing sent.
    """
    settings = site.settings()
    mail = read_message(file.read(_READ))
    with site.notifier_user.acting():
        people = People.of_site(settings.campus, settings.identity, site.keyring(settings))
    envelope = _envelope(mail, people, login, client, recipients, mail_from)
    simulation = _Simulation(site, settings, people, envelope, mail)
    for line in simulation.story():
        site.screen.line(line)


class _Undo(Exception):
    """Ends a transaction of which nothing must stay."""


@dataclass(frozen=True, slots=True)
class _Simulation:
    """One message and all that it is judged by."""

    site: Site
    settings: Settings
    people: People
    envelope: Envelope
    mail: Mail

    def story(self) -> Iterator[str]:
        """What would happen, line by line."""
        yield from self._came()
        rules = FlagRules.of(self.settings.flag, self.settings.campus)
        flag = load_recognisers(rules).recognise(self.envelope, self.mail)
        if isinstance(flag, NotFlagged):
            yield flag.sentence
            return
        reporter = reporter_of(
            flag.channel, self.envelope, self.mail.headers, self.people, self.settings.identity.trusted_authserv_ids
        )
        yield f"A flag: channel {flag.channel.value}, command {flag.command.value}."
        yield f"Reporter: {_person(reporter)}."
        yield self._reply()
        if self.settings.milter.mode == "observe":
            yield 'milter.mode is "observe": all of this is only written down.'
        for named in flag.originals or (None,):
            yield ""
            yield from self._original(flag, named, reporter)

    def _came(self) -> Iterator[str]:
        envelope = self.envelope
        recipients = ", ".join(map(bare, envelope.recipients)) or "nobody"
        yield f"MAIL FROM {envelope.mail_from or '<>'}, RCPT TO {recipients}."
        submitter = self.people.submitter(envelope)
        if envelope.login:
            known = submitter.address or "an address that the directory does not know"
            yield f"Submitted with the login {envelope.login}, who is {known}."
        elif envelope.relay:
            yield f"Submitted through a trusted relay, as {submitter.address or 'nobody'}."
        else:
            yield "Not submitted by a member: no login, and no trusted relay."
        refs = [ref for path in envelope.recipients if (ref := self._ref(path))]
        if refs:
            yield f"It answers {', '.join(refs)}: what is no flag goes on that case as an answer."

    def _ref(self, path: str) -> str | None:
        local, _, domain = bare(path).rpartition("@")
        name, plus, tag = local.partition("+")
        ours = f"{name}@{domain}".casefold() == self.settings.campus.report_address
        return self.people.keyring.open_token(tag) if plus and ours else None

    def _reply(self) -> str:
        if not self.envelope.trusted or self.settings.milter.reply == "deliver":
            return "Its recipients get it; staff get a copy."
        return f"Withheld from all it is addressed to ({len(self.envelope.recipients)}); staff get the only copy."

    def _original(self, flag: Flag, named: NamedOriginal | None, reporter: Person) -> Iterator[str]:
        original = Original(Digest(b""))
        traces: Sequence[Trace] = ()
        if named is None:
            yield "Original: none that can be read."
        else:
            original = Original(self.people.keyring.message(named.message_id), named.ambiguous)
            yield f"Original: <{named.message_id}>{', the first of several ids' if named.ambiguous else ''}."
            traces = self._traces(original)
            yield from (_pass(trace, self.people, reporter) for trace in traces)
        known = identify(original, traces, reporter.address, self.people)
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
        history, restored_at = ReportCounts(), 0.0
        with self.site.cases(self.settings) as store, suppress(_Undo), store.work() as work:
            history = work.history(reporter.address, sender, now, rules.cooldown, observed)
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
            history=history,
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
    mail: Mail, people: People, login: str, client: str, recipients: tuple[str, ...], mail_from: str | None
) -> Envelope:
    headers = mail.headers
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
