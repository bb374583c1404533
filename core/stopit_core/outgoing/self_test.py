"""The self-test: a message that Stopit sends to itself, to check that all of its parts work together.

It travels like an answer. Its only recipient is a reply address whose token seals a ref that is marked as one of a
self-test, and only a program with the site's key can create such an address. The milter makes a report of it and
removes the recipient, also in observe mode, so nobody receives it. The notifier takes the report, opens no case, and
sends an answer to the same address; that passes the milter as Stopit's own mail, leaves its trace, and loses its
recipient too. What remains until it expires is the report's id in the case record, and two traces.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate

from stopit_core.addresses import domain_of
from stopit_core.identity.keys import Keyring, new_ref

__all__ = ["SelfTest", "SelfTestMessage"]

_MESSAGE = """\
This is a test that `stopitctl doctor --send-test` has sent. It is about nobody.

If you can read it in a mailbox, the milter did not see it: run
`stopitctl doctor` and do what it says.
"""
_ANSWER = """\
This is the answer to a test that `stopitctl doctor --send-test` has sent. It is
about nobody.
"""


@dataclass(frozen=True, slots=True)
class SelfTestMessage:
    """The message to send. `data` is ASCII with CRLF line ends; `envelope_from` is "" for the null sender."""

    envelope_from: str
    recipient: str
    data: bytes


@dataclass(frozen=True, slots=True)
class SelfTest:
    """One self-test. `ref` is from `Keyring.new_self_test_ref`; the Message-IDs are without angle brackets."""

    keyring: Keyring
    report_address: str
    ref: str

    @property
    def address(self) -> str:
        """Return the recipient of both messages."""
        return self._reply_address(self.ref)

    @property
    def message_id(self) -> str:
        """Return the Message-ID of the first message."""
        return f"trial.{self.ref}@{domain_of(self.report_address)}"

    @property
    def answer_id(self) -> str:
        """Return the Message-ID of the notifier's answer."""
        return f"trial-answer.{self.ref}@{domain_of(self.report_address)}"

    @property
    def report_id(self) -> str:
        """Return the id of the report that the milter makes of the first message."""
        return self.keyring.self_test_id(self.ref)

    def message(self, sender: str, at: float) -> SelfTestMessage:
        """Return the first message. `sender` is "" for the null sender: then no bounce is sent."""
        shown = sender or self.report_address
        return self._message(sender, shown, self.message_id, "Stopit: a test", "auto-generated", _MESSAGE, at)

    def answer(self, at: float) -> SelfTestMessage:
        """Return the notifier's answer, with an envelope sender like that of all its mail."""
        sender = self._reply_address(new_ref())
        return self._message(
            sender, self.report_address, self.answer_id, "Stopit: the answer to a test", "auto-replied", _ANSWER, at
        )

    def _message(
        self, envelope_from: str, sender: str, message_id: str, subject: str, automatic: str, text: str, at: float
    ) -> SelfTestMessage:
        message = EmailMessage(policy=SMTP)
        for name, value in (
            ("From", sender),
            ("To", self.report_address),
            ("Subject", subject),
            ("Date", formatdate(at)),
            ("Message-ID", f"<{message_id}>"),
            ("Auto-Submitted", automatic),
        ):
            message[name] = value
        message.set_content(text, charset="us-ascii")
        return SelfTestMessage(envelope_from, self.address, message.as_bytes())

    def _reply_address(self, ref: str) -> str:
        local, _, domain = self.report_address.rpartition("@")
        return f"{local}+{self.keyring.token(ref)}@{domain}"
