"""The disposition of a message. Pure: a transaction and a context in, a `Disposition` out; no I/O and no clock.

There are two steps. At end of headers, `precheck` asks everything that envelope and headers can answer; nearly every
message can go then. At end of message, `dispose` takes those answers and the body, and returns the disposition:

    own mail                                         -> its trace, marked as own, and at once in the ledger
    a flag (not if it goes to reply addresses only)  -> a report; withheld where the site does so
    to a reply address whose token is valid          -> a report for each token; staff get what a person wrote
    from outside, with header fields of ours         -> without these
    anything else                                    -> unchanged

Mail to the address of a self-test (`outgoing.self_test`) is Stopit's own mail, and reaches nobody in any mode.

A flag comes before an answer: a member who flags a message by "reply to all" may have a reply address of ours among
the recipients, and the reply must not reach the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import msgspec
from msgspec import structs

from stopit_core.decision.context import DecisionContext
from stopit_core.decision.tracing import message_ids_of, traces_of
from stopit_core.decision.transaction import Field, Transaction
from stopit_core.envelope import Envelope
from stopit_core.flags import Flag, NotFlagged, Recogniser, recognise
from stopit_core.identity.people import Person
from stopit_core.identity.reporter import reporter_of
from stopit_core.mail import REPORT_BYTES, is_automatic, read
from stopit_core.model import AnswerReport, Channel, FlagReport, Original, Trace
from stopit_core.wire import ANSWER_BYTES

__all__ = ["Disposition", "Edits", "Precheck", "dispose", "forged_fields", "may_be_flag", "precheck"]

REPLY_BYTES = 256 * 1024
"""Largest part of the body of a reply that is collected, in octets: what a person typed is near its start."""

Tokens = Mapping[str, str]
"""Recipients that are reply addresses of this site, as they stand in RCPT, and the ref that each token seals."""

NumberedFields = tuple[tuple[str, int], ...]
"""Header fields to be removed, as `Edits.removed_fields` has them."""

_NO_TOKENS: Tokens = MappingProxyType({})


class Precheck(msgspec.Struct, frozen=True):
    """The answers to what is asked of a message at the end of its headers.

    `own`: Stopit sent it. `tokens`: its recipients that are reply addresses of this site. `recognisers`: those that
    must read its body; when there is none, `not_flagged` is the reason, or None where they were not asked. `forged`:
    its header fields that only the milter may add. `body_bytes`: the part of its body that is collected, in octets.
    """

    own: bool = False
    tokens: Tokens = _NO_TOKENS
    recognisers: tuple[Recogniser, ...] = ()
    not_flagged: NotFlagged | None = None
    forged: NumberedFields = ()
    body_bytes: int = 0

    @property
    def needs_end_of_message(self) -> bool:
        """Return whether the message is handled at its end; otherwise it is accepted now, unchanged."""
        return bool(self.own or self.tokens or self.recognisers or self.forged)


@dataclass(frozen=True, slots=True)
class Edits:
    """Changes to one message.

    `removed_recipients` are exact RCPT strings. `removed_fields` are names with the position among the fields of that
    name (from 1), the highest first: removing one renumbers those after it.
    """

    removed_recipients: tuple[str, ...] = ()
    removed_fields: NumberedFields = ()
    added_fields: tuple[tuple[str, str], ...] = ()
    added_recipients: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.removed_recipients or self.removed_fields or self.added_fields or self.added_recipients)


@dataclass(frozen=True, slots=True)
class Disposition:
    """The actions for one message. It has a flag or answers, never both.

    The reports must be durable before the edits are made. `flush`: the traces must be in the ledger before the MTA
    has its answer. `recognised` is what the recognisers found, None where they were not asked.
    """

    traces: tuple[Trace, ...] = ()
    edits: Edits = field(default_factory=Edits)
    flag: FlagReport | None = None
    answers: tuple[AnswerReport, ...] = ()
    flush: bool = False
    recognised: Flag | NotFlagged | None = None


def may_be_flag(envelope: Envelope, names: frozenset[str], context: DecisionContext) -> bool:
    """Return whether a message could be a member's flag. `names` are its header names, in lower case.

    For use after a fault of ours: such a message must not pass unread, every other one passes unchanged. So it looks
    only at what can hardly fail.
    """
    if context.observe or not envelope.trusted:
        return False
    naming = {"in-reply-to", "references", context.header.lower()}
    return not naming.isdisjoint(names) or context.flags.reports(envelope)


def precheck(transaction: Transaction, context: DecisionContext) -> Precheck:
    """At end of headers: return what is known of the message, and what must be seen of its body."""
    envelope = transaction.envelope
    tokens = _tokens(envelope, context)
    if context.is_own(envelope):
        return Precheck(own=True, tokens=tokens)
    forged = _forged(transaction, context)
    others = _without(envelope, tokens)
    if tokens and not others.recipients:
        return Precheck(tokens=tokens, forged=forged, body_bytes=ANSWER_BYTES)
    found = context.recognisers.precheck(others, transaction.headers)
    if not isinstance(found, NotFlagged):
        body_bytes = REPORT_BYTES if context.flags.reports(envelope) else REPLY_BYTES
        return Precheck(tokens=tokens, recognisers=found, forged=forged, body_bytes=body_bytes)
    if tokens:
        return Precheck(tokens=tokens, not_flagged=found, forged=forged, body_bytes=ANSWER_BYTES)
    return Precheck(not_flagged=found, forged=forged)


def dispose(transaction: Transaction, checked: Precheck, context: DecisionContext) -> Disposition:
    """At end of message: return the disposition. `checked` is what `precheck` returned for the same headers."""
    recognised: Flag | NotFlagged | None = checked.not_flagged
    truncated = transaction.truncated
    if checked.recognisers:
        mail = read(transaction.headers, transaction.body)
        truncated = truncated or mail.truncated
        recognised = recognise(checked.recognisers, _without(transaction.envelope, checked.tokens), mail)
    if checked.own:
        found = Disposition(edits=_to_nobody(checked.tokens, context), flush=True)
    elif isinstance(recognised, Flag):
        found = _flagged(transaction, recognised, truncated, context)
    elif checked.tokens:
        found = _answered(transaction, checked, context)
    else:
        found = Disposition(edits=Edits(removed_fields=checked.forged))
    # A removed recipient did not receive the message, so no trace may name it.
    traces = traces_of(transaction, context, _reached(transaction.envelope, found.edits), own=checked.own)
    return replace(found, traces=traces, recognised=recognised)


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
        return Disposition(flag=report)
    edits = replace(
        edits,
        removed_fields=forged_fields(transaction.fields, f"{context.header}-"),
        added_fields=((f"{context.header}-Report", report.id), (f"{context.header}-Flag", report.command.value)),
    )
    return Disposition(edits=edits, flag=report)


def _withholding(envelope: Envelope, context: DecisionContext) -> Edits:
    """Return the recipients that a flag removes (everyone but staff, or only the report address) and adds."""
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
    """Return an id that is the same for a client's retry.

    The author is part of it: otherwise anybody could take the id of another person's report beforehand.
    """
    envelope = transaction.envelope
    author = f"login {envelope.login}" if envelope.login else f"{reporter.assurance.name} {reporter.address}"
    return context.keyring.report_id("flag", author, *_retry_parts(transaction))


def _answered(transaction: Transaction, checked: Precheck, context: DecisionContext) -> Disposition:
    envelope = transaction.envelope
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
        for ref in dict.fromkeys(checked.tokens.values())
    )
    if context.observe:
        return Disposition(edits=_to_nobody(checked.tokens, context), answers=answers)
    by_person = not is_automatic(transaction.headers, envelope.null_sender)
    edits = Edits(
        removed_recipients=tuple(checked.tokens),
        removed_fields=checked.forged,
        added_recipients=_staff_unless_in(envelope.recipients, context) if by_person else (),
    )
    return Disposition(edits=edits, answers=answers)


def _to_nobody(tokens: Tokens, context: DecisionContext) -> Edits:
    """Return the removal of the recipients that belong to a self-test."""
    return Edits(removed_recipients=tuple(path for path, ref in tokens.items() if context.keyring.is_self_test(ref)))


def _retry_parts(transaction: Transaction) -> tuple[str, ...]:
    """Return what stays the same when a client sends a message again: its Message-IDs.

    Without any, the queue id and the time stand in for them, and a retry counts as another message.
    """
    return message_ids_of(transaction.headers) or (transaction.envelope.queue_id, repr(transaction.at))


def _tokens(envelope: Envelope, context: DecisionContext) -> Tokens:
    found = {path: ref for path in envelope.recipients if (ref := context.ref_of(path)) is not None}
    return found or _NO_TOKENS


def _without(envelope: Envelope, tokens: Tokens) -> Envelope:
    if not tokens:
        return envelope
    return structs.replace(envelope, recipients=tuple(path for path in envelope.recipients if path not in tokens))


def _staff_unless_in(recipients: Iterable[str], context: DecisionContext) -> tuple[str, ...]:
    """Return the staff mailbox, unless it gets the message anyway: added again, it would get it twice."""
    return () if any(map(context.is_staff, recipients)) else (context.staff_address,)


def _reached(envelope: Envelope, edits: Edits) -> tuple[str, ...]:
    """Return the recipients after these edits."""
    removed = set(edits.removed_recipients)
    return tuple(path for path in envelope.recipients if path not in removed) + edits.added_recipients


def _forged(transaction: Transaction, context: DecisionContext) -> NumberedFields:
    """Return the header fields in mail from outside that only the milter may add: staff sort by them."""
    if context.observe or transaction.envelope.trusted:
        return ()
    return forged_fields(transaction.fields, f"{context.header}-")


def forged_fields(fields: Iterable[Field], prefix: str) -> NumberedFields:
    """Return the fields whose name begins with `prefix` (any case), as `Edits.removed_fields` has them."""
    folded = prefix.lower()
    seen: dict[str, int] = {}  # a Counter would cost every message more than the rest of this function
    found: list[tuple[str, int]] = []
    for name, _ in fields:
        if len(name) < len(folded):  # most are, and `strip` and `lower` cost more
            continue
        key = name.strip().lower()
        if key.startswith(folded):
            seen[key] = seen.get(key, 0) + 1
            found.append((key, seen[key]))
    return tuple(reversed(found))
