"""The envelope of one message (RFC 5321) and who submitted it, as the MTA reports them before the content."""

from __future__ import annotations

import msgspec

__all__ = ["Envelope"]


class Envelope(msgspec.Struct, frozen=True):
    """The envelope of one message, as the MTA reported it.

    `login` is the SASL login ("" when not logged in). `relay` is true if the client is one of
    `identity.trusted_relays`. `client` is its IP address ("" for a local one). `mail_from` is the reverse path
    without angle brackets, "" for the null sender. `recipients` are the exact RCPT strings including brackets,
    because the MTA removes a recipient only by that exact string. `queue_id` may be empty if the MTA has not assigned
    one yet.
    """

    login: str = ""
    relay: bool = False
    client: str = ""
    mail_from: str = ""
    recipients: tuple[str, ...] = ()
    queue_id: str = ""

    @property
    def trusted(self) -> bool:
        """Return whether the message was submitted by a member: logged in, or through a trusted relay."""
        return bool(self.login) or self.relay

    @property
    def null_sender(self) -> bool:
        """Return whether MAIL FROM is <> (RFC 5321 section 4.5.5): a bounce or other mail that must not be
        answered."""
        return not self.mail_from
