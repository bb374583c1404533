"""The steps of a story of harassment, and what each person sees of it, for the demo and the tests.

mallory writes; vera and walt receive; vera answers "stopit". Each text that must not reach mallory in mail of the
site contains a canary, and `secrets` lists these.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from email.message import EmailMessage
from typing import Generic, Protocol, TypeVar

from stopit_lab.client import SmtpReply
from stopit_lab.mailbox import Mailbox, Received
from stopit_lab.messages import Style, message, reply
from stopit_lab.people import REPORT, Cast, login_of

__all__ = ["MailSite", "Story"]


class MailSite(Protocol):
    """The part of a site that a story needs: sending as a member, and mailboxes."""

    def submit(
        self, message: EmailMessage | bytes, author: str, recipients: Sequence[str], sender: str | None = None
    ) -> SmtpReply:
        """Send as a logged-in member. `sender` is MAIL FROM if it is not the author's address."""

    def mailbox(self, address: str) -> Mailbox:
        """Return the mailbox of a person."""

    @property
    def staff(self) -> Mailbox:
        """The staff mailbox."""


AnySite = TypeVar("AnySite", bound=MailSite)


class Story(Generic[AnySite]):
    """A story at a site, with its own cast."""

    def __init__(self, site: AnySite, cast: Cast) -> None:
        self.site = site
        self.cast = cast
        self.subject = f"Your talk on Tuesday, canary{cast.number}subject"
        self.text = f"Nobody wants you here, canary{cast.number}text.\nEverybody laughed.\n"
        self._sent: list[EmailMessage] = []
        self._queue_ids: list[str] = []

    def write(self, author: str = "", recipients: Sequence[str] = ()) -> EmailMessage:
        """Let the author (mallory) write to the recipients (vera and walt). Returns the delivered message.

        Raises AssertionError if the MTA does not accept the message.
        """
        author = author or self.cast.mallory
        recipients = recipients or [self.cast.vera, self.cast.walt]
        original = message(author, recipients, self.subject, self.text)
        self._note(original, self.site.submit(original, author, recipients))
        for recipient in recipients:
            self.find(recipient, original)
        return original

    def answer(
        self,
        original: EmailMessage,
        author: str = "",
        typed: str = "stopit",
        style: Style = Style.TOP,
        to: Sequence[str] = (),
    ) -> tuple[EmailMessage, SmtpReply]:
        """Let the author (vera) reply, to From unless `to` is given. Returns the reply and what the MTA said."""
        author = author or self.cast.vera
        message = reply(original, author, typed, style, to)
        envelope = to or [str(original["From"])]
        said = self.site.submit(message, author, envelope)
        self._sent.append(message)
        self._queue_ids.append(said.queue_id)
        return message, said

    def flag(self, original: EmailMessage, author: str = "", typed: str = "stopit") -> EmailMessage:
        """Let the author (vera) answer "stopit". Returns the reply, which the MTA has accepted."""
        message, said = self.answer(original, author, typed)
        if not said.accepted:
            raise AssertionError(f"the flag was not taken: {said}")
        return message

    def find(self, reader: str, message: EmailMessage) -> Received:
        """Wait for the message in the reader's mailbox, and return it."""
        identity = str(message["Message-ID"])
        return self.site.mailbox(reader).wait_for(
            lambda found: found.header("Message-ID") == identity, f"message {identity}"
        )

    def has(self, reader: str, message: EmailMessage) -> bool:
        """Return whether the message is in the reader's mailbox now."""
        identity = str(message["Message-ID"])
        return any(found.header("Message-ID") == identity for found in self.site.mailbox(reader).messages())

    @staticmethod
    def is_service_mail(message: Received) -> bool:
        """Return whether Stopit sent the message, and not a person who writes to its address."""
        return REPORT in message.header("From") and message.header("Auto-Submitted") != ""

    def service_mail(self, reader: str) -> list[Received]:
        """Return all mail of Stopit to this reader."""
        return self.site.mailbox(reader).matching(self.is_service_mail)

    def notices(self, reader: str = "") -> list[Received]:
        """Return the notices to this reader (mallory)."""
        return self.service_mail(reader or self.cast.mallory)

    def notice(self, reader: str = "") -> Received:
        """Wait for the notice to this reader (mallory), and return it."""
        return self.site.mailbox(reader or self.cast.mallory).wait_for(self.is_service_mail, "the notice")

    def acknowledgement(self, reader: str = "") -> Received:
        """Wait for the acknowledgement to this reader (vera), and return it."""
        return self.site.mailbox(reader or self.cast.vera).wait_for(self.is_service_mail, "the acknowledgement")

    def staff_copy(self, message: EmailMessage) -> Received:
        """Wait for the tagged copy of a flagging message in the staff mailbox, and return it."""
        return self.find(self.site.staff.address, message)

    def reply_address(self, message: Received) -> str:
        """Return the address to which an answer to a message of Stopit goes."""
        return message.header("Reply-To") or message.header("From")

    def case_number(self, message: Received) -> str:
        """Return the case number in a message of Stopit. Raises AssertionError if it has none."""
        found = re.search(r"number of (?:this|your) case is (\S+?)\.?\s", message.text)
        if found is None:
            raise AssertionError(f"no case number in: {message.text}")
        return found[1]

    def queue_ids(self) -> list[str]:
        """The MTA's queue ids of the accepted flags."""
        return [queue_id for queue_id in self._queue_ids if queue_id]

    def secrets(self) -> list[str]:
        """Strings that would reveal the reporter or the report to the sender.

        These are names, addresses, Message-IDs, queue ids of flags, subject and text.
        """
        people = [self.cast.vera, self.cast.walt, self.cast.eve]
        logins = [login_of(person) for person in people] if self.cast.number else []  # "eve" occurs in "never"
        identities = [str(message["Message-ID"]).strip("<>").partition("@")[0] for message in self._sent]
        canaries = [f"canary{self.cast.number}subject", f"canary{self.cast.number}text", "Everybody laughed"]
        return [*people, *logins, *identities, *self.queue_ids(), *canaries]

    def _note(self, message: EmailMessage, said: SmtpReply) -> None:
        if not said.accepted:
            raise AssertionError(f"the message was not accepted: {said}")
        self._sent.append(message)
