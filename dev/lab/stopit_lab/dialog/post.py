"""The messages of a dialog: those that people send, as their clients make them, and the mailboxes that they reach."""

from __future__ import annotations

import re
from collections.abc import Sequence
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import getaddresses
from pathlib import Path

from stopit_lab import messages
from stopit_lab.client import Client, SmtpReply
from stopit_lab.dialog.failure import Unmet
from stopit_lab.dialog.received import Sent, is_delivery_of
from stopit_lab.dialog.steps import Forward, Outcome, Reply, Send, SendAgain, SendFile, Sending, SendStep
from stopit_lab.dialog.words import PLACEHOLDER, address, split_list
from stopit_lab.mailbox import Mailbox, Received
from stopit_lab.people import Cast, login_of
from stopit_lab.site import Site

__all__ = ["Post"]

_OUTSIDE = "192.0.2.25"
_SUBJECT = "Hello"
_TEXT = "Hello.\n"
_ADDRESSES = ("From", "To", "Cc", "Reply-To", "Sender", "Resent-From", "Resent-To")
_RECIPIENTS = ("To", "Cc", "Bcc")


class Post:
    """Messages that people of one cast have sent and got at a site. They have names: `original`, `vera's reply`."""

    def __init__(self, site: Site, cast: Cast, files: Path) -> None:
        self.site = site
        self.cast = cast
        self.sent: list[Sent] = []
        self.case = ""
        self._files = files
        self._named: dict[str, Sent | Received] = {}

    def mailbox(self, reader: str) -> Mailbox:
        """The mailbox of a reader."""
        return self.site.mailbox(address(self.cast, reader))

    def name(self, reference: str, message: Sent | Received) -> None:
        """Let later lines call a message so."""
        self._named[reference] = message

    def find_sent(self, reference: str) -> Sent:
        """Return a message that a person sent. Raises Unmet when Stopit sent it."""
        found = self._named[reference]
        if isinstance(found, Sent):
            return found
        raise Unmet(f"{reference} to be a message that a person sent", "it is one that Stopit sent")

    def reference(self, message: Sent) -> str:
        """Return what the dialog calls a message."""
        names = [name for name, named in self._named.items() if named is message]
        return names[0] if names else "a message"

    def fill_in(self, text: str) -> str:
        """Return a text with its placeholders filled in."""
        return PLACEHOLDER.sub(lambda found: self._value(found[1]), text)

    def _value(self, name: str) -> str:
        if name == "case":
            if not self.case:
                raise Unmet("a message of Stopit's that tells the number of the case", "no line has got one")
            return self.case
        reference, dot, header = name.partition(".")
        if dot and reference in self._named:
            named = self._named[reference]
            return str(named.message[header] or "").strip()
        try:
            return address(self.cast, name)
        except ValueError:
            known = ", ".join(f"{{{one}.Message-ID}}" for one in self._named)
            raise Unmet("{vera} for an address, {case}, or one of: " + known, f"{{{name}}}") from None

    def addresses(self, names: Sequence[str]) -> list[str]:
        """Return the addresses that names stand for."""
        return [_bare(self.fill_in(address(self.cast, name))) for name in names]

    # Sending.

    def write(self, step: Send) -> None:
        """Send a new message."""
        text = _TEXT if step.sending.text is None else self.fill_in(step.sending.text)
        message = messages.message(address(self.cast, step.author), self.addresses(step.to), _SUBJECT, text)
        self._send(step, message, text)

    def reply(self, step: Reply) -> None:
        """Send a reply, to Reply-To or From of what is answered, and quote it."""
        sending = step.sending
        typed = self.fill_in(sending.text or "").rstrip("\n")
        original = self._as_seen(step.author, step.message)
        message = messages.reply(original, address(self.cast, step.author), typed, sending.style)
        self._send(step, message, typed, f"{step.author}'s {step.noun}", f"the {step.noun}")

    def forward(self, step: Forward) -> None:
        """Send messages as attachments."""
        originals = [self._as_seen(step.author, reference) for reference in step.messages]
        text = self.fill_in(step.sending.text or "")
        to = ", ".join(self.addresses(step.to))
        message = messages.forward_attached(originals, address(self.cast, step.author), to, text)
        self._send(step, message, text, f"{step.author}'s forward", "the forward")

    def send_file(self, step: SendFile) -> None:
        """Send the octets of a file, with CRLF at the end of each line."""
        file = self._files / step.file
        try:
            raw = re.sub(rb"\r?\n", b"\r\n", file.read_bytes())
        except OSError as error:
            raise Unmet(f"the file {file}", str(error)) from None
        raw = self.fill_in(raw.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        seen = Received(raw)
        typed = [line for line in seen.text.splitlines() if not line.startswith(">")]
        self._hand_over(step, raw, self.addresses(step.to), (seen.subject, "\n".join(typed)))

    def send_again(self, step: SendAgain) -> None:
        """Send the same octets to the same recipients."""
        sent = self.find_sent(step.message)
        self._hand_over(step, sent.raw, sent.recipients, sent.written)

    def _as_seen(self, reader: str, reference: str) -> EmailMessage:
        """Return a message as it is in the reader's mailbox; as it was sent where it is not there."""
        named = self._named[reference]
        if isinstance(named, Received):
            return named.message
        found = self.mailbox(reader).matching(lambda message: is_delivery_of(message, named))
        return found[0].message if found else named.message

    def _send(self, step: Send | Reply | Forward, message: EmailMessage, text: str, *names: str) -> None:
        headers = step.sending.headers
        for name in {name: None for name, _ in headers}:
            del message[name]
        bcc: list[str] = []
        for name, value in headers:
            if name in _ADDRESSES:
                message[name] = ", ".join(self.addresses(split_list(value)))
            elif name == "Bcc":
                bcc += self.addresses(split_list(value))
            else:
                message[name] = self.fill_in(value)
        recipients = [*_recipients(message), *bcc]
        for name in step.sending.without:
            del message[name]
        subjects = [self.fill_in(value) for name, value in headers if name == "Subject"]
        self._hand_over(step, message.as_bytes(policy=policy.SMTP), recipients, (*subjects, text), *names)

    def _hand_over(
        self, step: SendStep, raw: bytes, recipients: Sequence[str], written: tuple[str, ...], *names: str
    ) -> None:
        sending, author = step.sending, address(self.cast, step.author)
        message = message_from_bytes(raw, policy=policy.default)
        envelope = self.addresses(sending.envelope_to) or list(recipients) or _recipients(message)
        sender = author if sending.envelope_from is None else self._envelope_from(sending.envelope_from)
        said = self._client(author, sending).send(raw, sender, envelope)
        sent = Sent(step.line, step.author, raw, message, tuple(envelope), said.queue_id, written)
        self.sent.append(sent)
        for name in filter(None, (sending.called, *names)):
            self.name(name, sent)
        _check_outcome(sending, said)

    def _envelope_from(self, name: str) -> str:
        return self.addresses([name])[0] if name else ""

    def _client(self, author: str, sending: Sending) -> Client:
        own = "" if sending.outside else login_of(author)
        login = own if sending.login is None else sending.login and login_of(address(self.cast, sending.login))
        if not sending.outside:
            return Client(self.site.postfix.submission, login=login, address=sending.client_address)
        return Client(self.site.postfix.inbound, login=login, address=sending.client_address or _OUTSIDE)


def _check_outcome(sending: Sending, said: SmtpReply) -> None:
    outcome = Outcome.REFUSED
    if said.accepted:
        outcome = Outcome.ACCEPTED
    elif said.temporary:
        outcome = Outcome.PUT_OFF
    if outcome is not sending.outcome:
        raise Unmet(f"the message {sending.outcome}", f"the mail server said: {said}")
    if sending.said.strip('"') not in str(said):
        raise Unmet(f"the message {sending.outcome}: {sending.said}", f"the mail server said: {said}")


def _recipients(message: EmailMessage) -> list[str]:
    values = [str(value) for name in _RECIPIENTS for value in message.get_all(name, [])]
    return [found for _, found in getaddresses(values) if found]


def _bare(text: str) -> str:
    """Return the address in `<vera@campus.example>`."""
    return text.rpartition("<")[2].rstrip(">") if "<" in text else text
