"""What is done with a message. Pure: a transaction and an context in, a `Disposition` out; no I/O and no clock.

Asked twice. At end of headers, `precheck` tells whether the message can go now, as nearly all do, or what must be
seen of it first. At end of message, `dispose` gives the disposition, once:

    Stopit sent it                                   -> its trace, marked as own, and at once in the ledger
    a flag (not if it goes to reply addresses only)  -> a report; withheld where the site does so
    to a reply address whose token holds             -> a report for each token; staff get what a person wrote
    from outside, with header fields of ours         -> without these
    anything else                                    -> as it is

Mail to the address of a self-test (`outgoing.self_test`) is Stopit's own mail, and reaches nobody in any mode.

A flag comes before an answer: whoever flags by "reply to all" a message that names a reply address of ours must not
reach the others by that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from msgspec import structs

from stopit_core.decision.context import DecisionContext
from stopit_core.decision.tracing import message_ids_of, traces_of
from stopit_core.decision.transaction import Field, Transaction
from stopit_core.envelope import Envelope
from stopit_core.flags import Flag, NotFlagged
from stopit_core.identity.people import Person
from stopit_core.identity.reporter import reporter_of
from stopit_core.mail import is_automatic, read
from stopit_core.model import AnswerReport, Channel, FlagReport, Original, Trace
from stopit_core.wire import ANSWER_BYTES

__all__ = ["ACCEPT_AT_EOH", "Disposition", "Edits", "Precheck", "dispose", "may_be_flag", "precheck"]


@dataclass(frozen=True, slots=True)
class Precheck:
    """What must be seen of a message after its headers: nothing, or its end and so much of its body (bytes).

    `content`: at its end the disposition depends on what it says, so its MIME is read.
    """

    to_end: bool
    body_bytes: int = 0
    content: bool = False


ACCEPT_AT_EOH = Precheck(to_end=False)


@dataclass(frozen=True, slots=True)
class Edits:
    """Changes to one message. `removed_recipients` are exact RCPT strings; `removed_fields` are names with the
    position among the fields of that name (from 1), each highest first: removing one renumbers those after it."""

    removed_recipients: tuple[str, ...] = ()
    removed_fields: tuple[tuple[str, int], ...] = ()
    added_fields: tuple[tuple[str, str], ...] = ()
    added_recipients: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.removed_recipients or self.removed_fields or self.added_fields or self.added_recipients)


@dataclass(frozen=True, slots=True)
class Disposition:
    """What is done with a message. At most one of `flag` and `answers` is there.

    The reports must be durable before the edits are made. `flush`: the traces must be in the ledger before the MTA
    has its answer.
    """

    traces: tuple[Trace, ...] = ()
    edits: Edits = field(default_factory=Edits)
    flag: FlagReport | None = None
    answers: tuple[AnswerReport, ...] = ()
    flush: bool = False


def may_be_flag(envelope: Envelope, names: frozenset[str], context: DecisionContext) -> bool:
    """Whether a message could be a member's flag, by what can hardly go wrong. `names` are its header names, folded.

    Asked after a fault of ours: such a message must not pass unread, every other one passes untouched.
    """
    if context.observe or not envelope.trusted:
        return False
    telling = {"in-reply-to", "references", context.header.lower()}
    return not telling.isdisjoint(names) or context.flags.reports(envelope)


def precheck(transaction: Transaction, context: DecisionContext) -> Precheck:
    """At end of headers: whether the message can go now."""
    envelope = transaction.envelope
    if context.is_own(envelope):
        return Precheck(to_end=True)
    tokens = _tokens(envelope, context)
    if _is_candidate(transaction, tokens, context):
        return Precheck(to_end=True, body_bytes=context.recognisers.body_bytes(envelope), content=True)
    if tokens:
        return Precheck(to_end=True, body_bytes=ANSWER_BYTES)
    return Precheck(to_end=True) if _forged(transaction, context) else ACCEPT_AT_EOH


def dispose(transaction: Transaction, context: DecisionContext) -> Disposition:
    """At end of message: the disposition."""
    envelope = transaction.envelope
    if context.is_own(envelope):
        return Disposition(traces_of(transaction, context, own=True), _to_nobody(envelope, context), flush=True)
    tokens = _tokens(envelope, context)
    if _is_candidate(transaction, tokens, context):
        mail = read(transaction.headers, transaction.body)
        flag = context.recognisers.recognise(_without(envelope, tokens), mail)
        if isinstance(flag, Flag):
            return _flagged(transaction, flag, transaction.truncated or mail.truncated, context)
    if tokens:
        return _answered(transaction, tokens, context)
    return Disposition(traces_of(transaction, context), Edits(removed_fields=_forged(transaction, context)))


def _is_candidate(transaction: Transaction, tokens: dict[str, str], context: DecisionContext) -> bool:
    others = _without(transaction.envelope, tokens)
    if tokens and not others.recipients:
        return False
    return not isinstance(context.recognisers.precheck(others, transaction.headers), NotFlagged)


def _flagged(transaction: Transaction, flag: Flag, truncated: bool, context: DecisionContext) -> Disposition:
    envelope = transaction.envelope
    reporter = reporter_of(flag.channel, envelope, transaction.headers, context.people, context.authserv_ids)
    edits = _withholding(envelope, context)
    report = FlagReport(
        id=_flag_id(transaction, reporter, context),
        at=transaction.at,
        queue_id=envelope.queue_id,
        channel=flag.channel,
        command=flag.command,
        reporter=reporter.address,
        reporter_assurance=reporter.assurance,
        originals=tuple(
            Original(context.keyring.message(named.message_id), named.ambiguous) for named in flag.originals
        ),
        withheld=len(edits.removed_recipients),
        observed=context.observe,
        truncated=truncated and flag.channel is Channel.REPORT_ADDRESS,
    )
    if context.observe:
        return Disposition(traces_of(transaction, context), flag=report)
    edits = replace(
        edits,
        removed_fields=forged_fields(transaction.fields, f"{context.header}-"),
        added_fields=((f"{context.header}-Report", report.id), (f"{context.header}-Flag", report.command.value)),
    )
    # Who was removed did not receive it, so no trace may say so.
    return Disposition(traces_of(transaction, context, _reached(envelope, edits)), edits, flag=report)


def _withholding(envelope: Envelope, context: DecisionContext) -> Edits:
    """Who is removed and who added for a flag: everyone but staff, or only the report address."""
    if context.observe:
        return Edits()
    everyone = dict.fromkeys(envelope.recipients)
    withhold = envelope.trusted and context.withhold
    removed = tuple(
        recipient
        for recipient in everyone
        if not context.is_staff(recipient) and (withhold or context.flags.is_report_address(recipient))
    )
    return Edits(removed_recipients=removed, added_recipients=_staff_unless_in(everyone, context))


def _flag_id(transaction: Transaction, reporter: Person, context: DecisionContext) -> str:
    """The same for a client's retry. Who submitted it is in it, or one could use up another's ids beforehand."""
    envelope = transaction.envelope
    author = f"login {envelope.login}" if envelope.login else f"{reporter.assurance.name} {reporter.address}"
    return context.keyring.report_id("flag", author, *_retry_parts(transaction))


def _answered(transaction: Transaction, tokens: dict[str, str], context: DecisionContext) -> Disposition:
    envelope, headers = transaction.envelope, transaction.headers
    author = context.people.submitter(envelope).address
    parts = _retry_parts(transaction)
    raw = transaction.start()
    answers = tuple(
        AnswerReport(
            id=(
                context.keyring.self_test_id(ref)
                if context.keyring.is_self_test(ref)
                else context.keyring.report_id("answer", ref, envelope.login or author, *parts)
            ),
            at=transaction.at,
            queue_id=envelope.queue_id,
            ref=ref,
            author=author,
            null_sender=envelope.null_sender,
            raw=raw,
            observed=context.observe,
        )
        for ref in dict.fromkeys(tokens.values())
    )
    if context.observe:
        edits = _to_nobody(envelope, context)
        return Disposition(traces_of(transaction, context, _reached(envelope, edits)), edits, answers=answers)
    by_person = not is_automatic(headers, envelope.null_sender)
    edits = Edits(
        removed_recipients=tuple(tokens),
        removed_fields=_forged(transaction, context),
        added_recipients=_staff_unless_in(envelope.recipients, context) if by_person else (),
    )
    return Disposition(traces_of(transaction, context, _reached(envelope, edits)), edits, answers=answers)


def _to_nobody(envelope: Envelope, context: DecisionContext) -> Edits:
    """Without the recipients that are a self-test's."""
    tokens = _tokens(envelope, context)
    return Edits(removed_recipients=tuple(path for path, ref in tokens.items() if context.keyring.is_self_test(ref)))


def _retry_parts(transaction: Transaction) -> tuple[str, ...]:
    """What is the same when a client sends a message again: its Message-IDs, else nothing that we know of."""
    return message_ids_of(transaction.headers) or (transaction.envelope.queue_id, repr(transaction.at))


def _tokens(envelope: Envelope, context: DecisionContext) -> dict[str, str]:
    """The recipients that are reply addresses of ours, as they stand in RCPT, with the ref that each seals."""
    return {path: ref for path in envelope.recipients if (ref := context.ref_of(path)) is not None}


def _without(envelope: Envelope, tokens: dict[str, str]) -> Envelope:
    if not tokens:
        return envelope
    return structs.replace(envelope, recipients=tuple(path for path in envelope.recipients if path not in tokens))


def _staff_unless_in(recipients: Iterable[str], context: DecisionContext) -> tuple[str, ...]:
    """The staff mailbox, unless it gets the message anyway: added again, it would get it twice."""
    return () if any(map(context.is_staff, recipients)) else (context.staff_address,)


def _reached(envelope: Envelope, edits: Edits) -> tuple[str, ...]:
    """Who gets the message after these edits."""
    removed = set(edits.removed_recipients)
    return tuple(path for path in envelope.recipients if path not in removed) + edits.added_recipients


def _forged(transaction: Transaction, context: DecisionContext) -> tuple[tuple[str, int], ...]:
    """Header fields of ours in mail from outside: only the milter adds them, and staff sort by them."""
    if context.observe or transaction.envelope.trusted:
        return ()
    return forged_fields(transaction.fields, f"{context.header}-")


def forged_fields(fields: Iterable[Field], prefix: str) -> tuple[tuple[str, int], ...]:
    """The fields whose name begins with `prefix` (any case), as `Edits.removed_fields` wants them."""
    folded = prefix.lower()
    seen: Counter[str] = Counter()
    found: list[tuple[str, int]] = []
    for name, _ in fields:
        key = name.strip().lower()
        if key.startswith(folded):
            seen[key] += 1
            found.append((key, seen[key]))
    return tuple(reversed(found))
