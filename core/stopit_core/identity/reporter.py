"""Determine the reporter of a flag. The milter and `stopitctl simulate` use this same rule."""

from __future__ import annotations

from collections.abc import Collection

from stopit_core.addresses import domain_of
from stopit_core.envelope import Envelope
from stopit_core.identity.auth_results import grade, read_auth_results
from stopit_core.identity.people import NOBODY, People, Person
from stopit_core.mail import Headers, addresses_in
from stopit_core.model import Assurance, Channel

__all__ = ["reporter_of"]


def reporter_of(
    channel: Channel, envelope: Envelope, headers: Headers, people: People, authserv_ids: Collection[str]
) -> Person:
    """Return the submitter; for mail to the report address from outside, the From if this site's servers verified it.

    A resent message has the sender of the original in From (RFC 5322 section 3.6.6), so its From names no reporter.
    `authserv_ids`: identity.trusted_authserv_ids. NOBODY if nobody can be named.
    """
    if envelope.trusted:
        return people.submitter(envelope)
    values = headers.all("From")
    if channel is not Channel.REPORT_ADDRESS or len(values) != 1 or _is_resent(headers):
        return NOBODY
    addresses = addresses_in(values[0])
    address = people.canonical.of(addresses[0]) if len(addresses) == 1 else ""
    if not address:
        return NOBODY
    results = read_auth_results(headers, authserv_ids, domain_of(address))
    verified = grade(results, address) >= Assurance.VERIFIED
    return Person(address, Assurance.VERIFIED if verified else Assurance.UNVERIFIED)


def _is_resent(headers: Headers) -> bool:
    return any(name.lower().startswith("resent-") for name, _ in headers)
