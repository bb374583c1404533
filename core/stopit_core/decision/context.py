"""The context of a decision: what configuration, key and alias file say, as one frozen value.

A reload makes a whole new one and swaps it in; a message keeps the one that was in force when it began.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from stopit_core.addresses import bare, domain_of
from stopit_core.config import Settings, Smtp
from stopit_core.credentials import ReadSecret, read_secret
from stopit_core.envelope import Envelope
from stopit_core.errors import ConfigError, Fault
from stopit_core.flags import FlagRules, Recognisers, load_recognisers
from stopit_core.identity.keys import Keyring, read_key
from stopit_core.identity.people import People

__all__ = ["DecisionContext", "OwnMail"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OwnMail:
    """How to recognise mail that the notifier sends: by a token in its envelope sender, and by its origin.

    The token alone proves nothing: a person who got a notice knows one, and could make other mail look like
    Stopit's own, which nobody can flag. So the mail must also come with the notifier's login, or without any login
    from this host, from `smtp.host`, or from a trusted relay.
    """

    login: str
    host: str

    @classmethod
    def of(cls, smtp: Smtp) -> OwnMail:
        """Return how the notifier sends by these settings."""
        return cls(smtp.login, smtp.host)

    def may_send(self, envelope: Envelope) -> bool:
        """Return whether the notifier may have submitted this message."""
        if envelope.login:
            return envelope.login == self.login
        client = envelope.client.removeprefix("IPv6:")
        return envelope.relay or client in ("", self.host) or _is_loopback(client)


@dataclass(frozen=True, slots=True)
class DecisionContext:
    """All that the disposition of a message depends on. Made by `of`.

    `header` is the flag header's name. `staff_address` is the staff mailbox as it is written in the configuration,
    `staff` its canonical form.
    """

    people: People
    flags: FlagRules
    recognisers: Recognisers
    own_mail: OwnMail
    staff_address: str
    staff: str
    header: str
    authserv_ids: tuple[str, ...]
    withhold: bool
    observe: bool

    @classmethod
    def of(cls, settings: Settings, read: ReadSecret = read_secret) -> DecisionContext:
        """Make the context of a configuration. Reads the key by `read`, and the alias file.

        Raises ConfigError with every fault.
        """
        faults: list[Fault] = []
        keyring = _try(lambda: read_key(settings.ledger.key_file, read), faults)
        # Without the key, the alias file and the directory are still checked: the error names all faults at once.
        stand_in = keyring or Keyring(bytes(32))
        people = _try(lambda: People.of_site(settings.campus, settings.identity, stand_in), faults)
        rules = FlagRules.of(settings.flag, settings.campus)
        recognisers = _try(lambda: load_recognisers(rules), faults)
        if faults or people is None or recognisers is None:
            raise ConfigError(faults)
        return cls(
            people=people,
            flags=rules,
            recognisers=recognisers,
            own_mail=OwnMail.of(settings.smtp),
            staff_address=settings.campus.staff_address,
            staff=people.canonical.of(settings.campus.staff_address),
            header=settings.flag.header,
            authserv_ids=settings.identity.trusted_authserv_ids,
            withhold=settings.milter.reply == "withhold",
            observe=settings.milter.mode == "observe",
        )

    @property
    def keyring(self) -> Keyring:
        """Return the keyring of the site."""
        return self.people.keyring

    def ref_of(self, path: str) -> str | None:
        """Return the ref in an envelope path's token; None unless it is a reply address that this site made."""
        if "+" not in path:
            return None
        address = bare(path)
        if not self.flags.is_report_address(address):
            return None
        local = address.removesuffix("@" + domain_of(address))
        return self.keyring.open_token(local.partition("+")[2])

    def is_own(self, envelope: Envelope) -> bool:
        """Return whether Stopit itself sent this message."""
        return self.ref_of(envelope.mail_from) is not None and self.own_mail.may_send(envelope)

    def is_staff(self, recipient: str) -> bool:
        """Return whether a RCPT string is the staff mailbox, in any spelling."""
        return self.people.canonical.of(recipient) == self.staff


def _try(make: Callable[[], T], faults: list[Fault]) -> T | None:
    try:
        return make()
    except ConfigError as error:
        faults.extend(error.faults)
        return None


def _is_loopback(client: str) -> bool:
    try:
        return ipaddress.ip_address(client).is_loopback
    except ValueError:
        return False
