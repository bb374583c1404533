"""A self-test: one message that Stopit sends to itself, to see whether all of its parts work together.

It goes the way of an answer. Its only recipient is a reply address whose token seals a ref that is marked as one of a
self-test, and only who has the site's key can make such an address. The milter makes a report of it and removes the
recipient, also in observe mode, so nobody gets it. The notifier takes the report, opens no case, and sends an answer
to the same address; that passes the milter as Stopit's own mail, leaves its trace, and loses its recipient too. What
stays is the report's id among those that were taken, and two traces, until their time is over.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate

from stopit_core.addresses import domain_of
from stopit_core.identity.keys import Keyring, new_ref

__all__ = ["SelfTest", "SelfTestMessage"]

_LETTER = """\
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
    """What the mailer sends. `data` is ASCII with CRLF line ends; `envelope_from` is "" for the null sender."""

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
        """Where both messages go."""
        return self._reply_address(self.ref)

    @property
    def message_id(self) -> str:
        """The Message-ID of the message that begins it."""
        return f"trial.{self.ref}@{domain_of(self.report_address)}"

    @property
    def answer_id(self) -> str:
        """The Message-ID of the notifier's answer."""
        return f"trial-answer.{self.ref}@{domain_of(self.report_address)}"

    @property
    def report_id(self) -> str:
        """The id of the report that the milter makes of it."""
        return self.keyring.self_test_id(self.ref)

    def letter(self, sender: str, at: float) -> SelfTestMessage:
        """The message that begins it. `sender` is "" for the null sender: no bounce of it goes anywhere."""
        shown = sender or self.report_address
        return self._letter(sender, shown, self.message_id, "Stopit: a test", "auto-generated", _LETTER, at)

    def answer(self, at: float) -> SelfTestMessage:
        """The notifier's answer, with an envelope sender as all its mail has."""
        sender = self._reply_address(new_ref())
        return self._letter(
            sender, self.report_address, self.answer_id, "Stopit: the answer to a test", "auto-replied", _ANSWER, at
        )

    def _letter(
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
