"""What an MTA tells of one message before its content: the envelope (RFC 5321), and who submitted it."""

from __future__ import annotations

import msgspec

__all__ = ["Envelope"]


class Envelope(msgspec.Struct, frozen=True):
    """One message's envelope, as the MTA gave it.

    `login` is the SASL login ("" when not logged in); `relay` says that the client is one of
    `identity.trusted_relays`; `client` is its IP address ("" for a local one). `mail_from` is the reverse path
    without angle brackets, "" for the null sender. `recipients` are the exact RCPT strings, brackets and all: a
    recipient can be removed by no other spelling. `queue_id` may be empty where the MTA has given none yet.
    """

    login: str = ""
    relay: bool = False
    client: str = ""
    mail_from: str = ""
    recipients: tuple[str, ...] = ()
    queue_id: str = ""

    @property
    def trusted(self) -> bool:
        """Whether the message comes from a member: logged in, or through a trusted relay."""
        return bool(self.login) or self.relay

    @property
    def null_sender(self) -> bool:
        """Whether MAIL FROM is <> (RFC 5321 section 4.5.5): a bounce, or other mail that nobody may answer."""
        return not self.mail_from
