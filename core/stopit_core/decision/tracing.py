"""The traces of a message: one under each of its Message-IDs. Pure, and on the hot path of every message.

A message without a Message-ID leaves no trace: nothing could find it, and a flag of it names nothing. One with
several (RFC 5322 section 3.6.4 allows one) leaves a trace under *each*. The client of the reader may name any of them
in a reply; if only the first were traced, a forger could put another person's id second, and the flag would name that
person. With a trace under both ids the two senders disagree, and staff decide.
"""

from __future__ import annotations

import re

from msgspec import structs

from stopit_core.addresses import bare, domain_of
from stopit_core.decision.context import DecisionContext
from stopit_core.decision.transaction import Transaction
from stopit_core.identity.auth_results import read_auth_results
from stopit_core.mail import Headers, addresses_in, is_automatic, is_list, message_ids
from stopit_core.model import Trace

__all__ = ["message_ids_of", "traces_of"]

_IDS_AT_EACH_END = 16
"""Number of first and of last Message-IDs that are traced; the ones between are not, since clients name no such."""

# `Name <local@domain>` or `local@domain` with nothing in it that needs the parser, which takes 20 times as long.
_SPEC = r'[^<>()",;:@\\\s]+@[^<>()",;:@\\\s]+'
_PLAIN_FROM = re.compile(rf'[^<>()",;:@\\]*<({_SPEC})>|({_SPEC})')


def traces_of(
    transaction: Transaction, context: DecisionContext, recipients: tuple[str, ...] | None = None, own: bool = False
) -> tuple[Trace, ...]:
    """Return the traces of this pass, one for each Message-ID; () when it has none.

    `recipients`: who gets the message, where that differs from the envelope. `own`: Stopit sent it.
    """
    headers, envelope = transaction.headers, transaction.envelope
    ids = message_ids_of(headers)
    if not ids:
        return ()
    people = context.people
    reached = envelope.recipients if recipients is None else recipients
    sender = _header_from(headers)
    trace = Trace(
        message=people.keyring.message(ids[0]),
        seen=transaction.at,
        queue_id=envelope.queue_id,
        login=envelope.login,
        mail_from=envelope.mail_from,
        header_from=sender,
        client=envelope.client,
        relay=envelope.relay,
        bulk=is_automatic(headers, envelope.null_sender) or is_list(headers),
        own=own,
        recipient_count=len(reached),
        recipients=b"".join(dict.fromkeys(map(people.digest_of_path, reached))),
        auth_results=read_auth_results(headers, context.authserv_ids, domain_of(sender).casefold()),
    )
    if len(ids) == 1:
        return (trace,)
    return (trace, *(structs.replace(trace, message=people.keyring.message(other)) for other in ids[1:]))


def message_ids_of(headers: Headers) -> tuple[str, ...]:
    """Return the Message-IDs of a message, each once; of very many the first and the last ones."""
    values = headers.all("Message-ID")
    if len(values) == 1 and len(only := message_ids(values[0])) <= 1:
        return only
    found = tuple(dict.fromkeys(each for value in values for each in message_ids(value)))
    if len(found) <= 2 * _IDS_AT_EACH_END:
        return found
    return found[:_IDS_AT_EACH_END] + found[-_IDS_AT_EACH_END:]


def _header_from(headers: Headers) -> str:
    """Return the address in From, "" unless there is exactly one (RFC 5322 section 3.6.2 allows several)."""
    values = headers.all("From")
    if len(values) != 1:
        return ""
    if plain := _PLAIN_FROM.fullmatch(values[0]):
        return _wellformed(plain[1] or plain[2])
    addresses = addresses_in(values[0])
    return _wellformed(bare(addresses[0])) if len(addresses) == 1 else ""


def _wellformed(address: str) -> str:
    """Return the address, "" when it has an undecodable octet: the trace could not be written with it."""
    return address if address.isascii() or address.isprintable() else ""
