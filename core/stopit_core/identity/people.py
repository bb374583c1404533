"""Map envelopes and traces to the canonical address of a person, and grade how sure that is.

The login takes precedence: it is the one thing that the sender of a message cannot choose. Next is the MAIL FROM of a
trusted relay, then the From that this site's own servers verified, then nothing.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from stopit_core.addresses import Canonical, read_aliases
from stopit_core.config import Campus, Identity
from stopit_core.envelope import Envelope
from stopit_core.identity.auth_results import grade
from stopit_core.identity.directory import Directory, directory_factory
from stopit_core.identity.keys import Keyring
from stopit_core.model import Assurance, Digest, Trace

__all__ = ["NOBODY", "People", "Person"]


@dataclass(frozen=True, slots=True)
class Person:
    """A canonical address and how surely it is the right one. `address` is "" if nobody can be named."""

    address: str
    assurance: Assurance


_CACHE_SIZE = 4096
"""Size of the LRU cache of recipients' digests: most mail goes to recipients of earlier mail. About 2 MB."""

NOBODY = Person("", Assurance.UNVERIFIED)


class People:
    """The people of a campus, by its configuration and key. Keeps everything in memory and does no I/O."""

    def __init__(self, canonical: Canonical, directory: Directory, relays: Sequence[str], keyring: Keyring) -> None:
        self.canonical = canonical
        self.keyring = keyring
        self._directory = directory
        self._relays = tuple(ipaddress.ip_network(relay) for relay in relays)
        self.digest_of_path: Callable[[str], Digest] = lru_cache(_CACHE_SIZE)(self._digest_of_path)
        """Returns the digest of the address in an envelope path or header; empty if it is no usable address."""

    @classmethod
    def of_site(cls, campus: Campus, identity: Identity, keyring: Keyring) -> People:
        """Create the people of the configuration. Reads the alias file; raises ConfigError if it cannot be used."""
        aliases = read_aliases(identity.aliases, campus.domains) if identity.aliases else {}
        directory = directory_factory(identity.directory)(identity.login_address)
        return cls(Canonical(campus.domains, aliases), directory, identity.trusted_relays, keyring)

    def is_relay(self, client: str) -> bool:
        """Return whether the client address is one of `identity.trusted_relays`."""
        if not self._relays:
            return False
        try:
            address = ipaddress.ip_address(client.removeprefix("IPv6:"))
        except ValueError:
            return False
        return any(address in relay for relay in self._relays)

    def of_login(self, login: str) -> str:
        """Return the canonical address of this SASL login's owner, "" if the directory knows none."""
        address = self._directory.address_of(login)
        return self.canonical.of(address) if address else ""

    def digest(self, address: str) -> Digest:
        """Return the digest under which the ledger stores a canonical address."""
        return self.keyring.address(address)

    def _digest_of_path(self, path: str) -> Digest:
        address = self.canonical.of(path)
        return self.digest(address) if address else Digest(b"")

    def submitter(self, envelope: Envelope) -> Person:
        """Return who submitted a message, by login or trusted relay; never by From, which anyone can write."""
        return self._submitter(envelope.login, envelope.relay, envelope.mail_from)

    def sender(self, trace: Trace) -> Person:
        """Return who sent the message of this trace, as surely as the trace can tell."""
        submitted = self._submitter(trace.login, trace.relay, trace.mail_from)
        if trace.login or submitted.address:
            return submitted
        address = self.canonical.of(trace.header_from) if trace.header_from else ""
        return Person(address, grade(trace.auth_results, address)) if address else NOBODY

    def _submitter(self, login: str, relay: bool, mail_from: str) -> Person:
        if login:
            address = self.of_login(login)
            return Person(address, Assurance.AUTHENTICATED) if address else NOBODY
        address = self.canonical.of(mail_from) if relay and mail_from else ""
        return Person(address, Assurance.VERIFIED) if address else NOBODY
