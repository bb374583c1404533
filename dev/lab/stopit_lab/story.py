"""What people do in a story of harassment, and what each of them sees of it. The demo and the tests tell it.

mallory writes; vera and walt receive; vera answers "stopit". Every word that mallory must not see again in what the
site sends carries a canary, and `secrets` lists them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from email.message import EmailMessage
from typing import Generic, Protocol, TypeVar

from stopit_lab.client import SmtpReply
from stopit_lab.letters import Style, letter, reply
from stopit_lab.mailbox import Mailbox, Received
from stopit_lab.people import REPORT, Cast, login_of

__all__ = ["MailSite", "Story"]


class MailSite(Protocol):
    """What a story needs of a site: a way for members to send, and their mailboxes."""

    def submit(
        self, message: EmailMessage | bytes, author: str, recipients: Sequence[str], sender: str | None = None
    ) -> SmtpReply:
        """Send as a logged-in member. `sender` is MAIL FROM where it is not the author's own address."""

    def mailbox(self, address: str) -> Mailbox:
        """The mailbox of a person."""

    @property
    def staff(self) -> Mailbox:
        """The staff mailbox."""


AnySite = TypeVar("AnySite", bound=MailSite)


class Story(Generic[AnySite]):
    """One story at one site, with a cast of its own."""

    def __init__(self, site: AnySite, cast: Cast) -> None:
        self.site = site
        self.cast = cast
        self.subject = f"Your talk on Tuesday, canary{cast.number}subject"
        self.text = f"Nobody wants you here, canary{cast.number}text.\nEverybody laughed.\n"
        self._sent: list[EmailMessage] = []
        self._queue_ids: list[str] = []

    def write(
        self, author: str = "", recipients: Sequence[str] = (), header_from: str = "", to: Sequence[str] = ()
    ) -> EmailMessage:
        """The author (mallory) writes to the recipients (vera and walt), who get it. Returns what was sent.

        `header_from` is what stands in From where the author lies; `to` is what stands in To where it is not the
        recipients. Raises AssertionError when the MTA does not take it.
        """
        author = author or self.cast.mallory
        recipients = recipients or [self.cast.vera, self.cast.walt]
        message = letter(header_from or author, to or recipients, self.subject, self.text)
        self._note(message, self.site.submit(message, author, recipients))
        for recipient in recipients:
            self.find(recipient, message)
        return message

    def note_original(self, message: EmailMessage) -> None:
        """Count a message that went another way among what the sender must not see again."""
        self._sent.append(message)

    def answer(
        self,
        original: EmailMessage,
        author: str = "",
        typed: str = "stopit",
        style: Style = Style.TOP,
        to: Sequence[str] = (),
        recipients: Sequence[str] = (),
    ) -> tuple[EmailMessage, SmtpReply]:
        """The author (vera) replies: to From, unless `to` names others. `recipients` is the envelope where it is
        not `to` (Bcc). Returns the reply and what the MTA said."""
        author = author or self.cast.vera
        message = reply(original, author, typed, style, to)
        envelope = recipients or to or [str(original["From"])]
        said = self.site.submit(message, author, envelope)
        self._sent.append(message)
        self._queue_ids.append(said.queue_id)
        return message, said

    def flag(self, original: EmailMessage, author: str = "", typed: str = "stopit") -> EmailMessage:
        """The author (vera) answers "stopit", and the MTA takes it. Returns the reply."""
        message, said = self.answer(original, author, typed)
        if not said.accepted:
            raise AssertionError(f"the flag was not taken: {said}")
        return message

    def find(self, reader: str, message: EmailMessage) -> Received:
        """The message in the reader's mailbox, as soon as it is there."""
        identity = str(message["Message-ID"])
        return self.site.mailbox(reader).wait_for(
            lambda found: found.header("Message-ID") == identity, f"message {identity}"
        )

    def has(self, reader: str, message: EmailMessage) -> bool:
        """Whether the message is in the reader's mailbox now."""
        identity = str(message["Message-ID"])
        return any(found.header("Message-ID") == identity for found in self.site.mailbox(reader).messages())

    @staticmethod
    def is_service_mail(message: Received) -> bool:
        """Whether Stopit sent it, and nobody who writes to its address."""
        return REPORT in message.header("From") and message.header("Auto-Submitted") != ""

    def service_mail(self, reader: str) -> list[Received]:
        """What Stopit has sent to this reader."""
        return self.site.mailbox(reader).matching(self.is_service_mail)

    def notices(self, reader: str = "") -> list[Received]:
        """The notices that this reader (mallory) has."""
        return self.service_mail(reader or self.cast.mallory)

    def notice(self, reader: str = "") -> Received:
        """The notice to this reader (mallory), as soon as it is there."""
        return self.site.mailbox(reader or self.cast.mallory).wait_for(self.is_service_mail, "the notice")

    def acknowledgement(self, reader: str = "") -> Received:
        """The acknowledgement to this reader (vera), as soon as it is there."""
        return self.site.mailbox(reader or self.cast.vera).wait_for(self.is_service_mail, "the acknowledgement")

    def staff_copy(self, message: EmailMessage) -> Received:
        """The tagged copy of a flagging message in the staff mailbox, as soon as it is there."""
        return self.find(self.site.staff.address, message)

    def reply_address(self, message: Received) -> str:
        """Where an answer to a message of Stopit's goes."""
        return message.header("Reply-To") or message.header("From")

    def case_number(self, message: Received) -> str:
        """The number of the case that a message of Stopit's tells. Raises AssertionError when it tells none."""
        found = re.search(r"number of (?:this|your) case is (\S+?)\.?\s", message.text)
        if found is None:
            raise AssertionError(f"no case number in: {message.text}")
        return found[1]

    def queue_ids(self) -> list[str]:
        """The MTA's queue ids of the flags that it took."""
        return [queue_id for queue_id in self._queue_ids if queue_id]

    def secrets(self) -> list[str]:
        """Strings that would tell the sender who reported, or what: names, addresses, Message-IDs, queue ids of
        flags, subject and text."""
        people = [self.cast.vera, self.cast.walt, self.cast.eve]
        logins = [login_of(person) for person in people] if self.cast.number else []  # "eve" is in "never"
        identities = [str(message["Message-ID"]).strip("<>").partition("@")[0] for message in self._sent]
        canaries = [f"canary{self.cast.number}subject", f"canary{self.cast.number}text", "Everybody laughed"]
        return [*people, *logins, *identities, *self.queue_ids(), *canaries]

    def _note(self, message: EmailMessage, said: SmtpReply) -> None:
        if not said.accepted:
            raise AssertionError(f"the message was not taken: {said}")
        self._sent.append(message)
