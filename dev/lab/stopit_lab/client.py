"""A mail client: sends a message to one port of Postfix and returns the reply to each step."""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY

from stopit_lab.ports import HOST

__all__ = ["Client", "Connect", "SmtpReply"]

_TIMEOUT = 90.0

Connect = Callable[[int, float], socket.socket]
"""A function that connects to a port within some seconds, for hosts outside this machine's network."""


@dataclass(frozen=True, slots=True)
class SmtpReply:
    """The reply that decided about a message (RFC 5321 section 4.2): the first that is no success, else the last.

    `step` is the command that it answers: "MAIL", "RCPT", "DATA", or "." for the end of the message.
    """

    step: str
    code: int
    text: str

    @property
    def accepted(self) -> bool:
        """True if the server accepted the message."""
        return self.step == "." and self.code == 250

    @property
    def temporary(self) -> bool:
        """True if the refusal is temporary, so that the client keeps the message and tries again."""
        return 400 <= self.code < 500

    @property
    def queue_id(self) -> str:
        """The queue id in Postfix's reply to the end of the message, or ""."""
        return self.text.rpartition("queued as ")[2].strip() if self.accepted else ""

    def __str__(self) -> str:
        return f"{self.code} {self.text} (to {self.step})"


class Client:
    """A client for one port. `login` is claimed with XCLIENT; with a `password`, it logs in with SASL instead.

    `address` is the client address that the MTA shall see instead of the real one (XCLIENT ADDR). With `tls`,
    STARTTLS comes first. `connect` reaches hosts that this machine's network does not.
    """

    def __init__(
        self,
        port: int,
        login: str = "",
        password: str = "",
        address: str = "",
        tls: ssl.SSLContext | None = None,
        connect: Connect | None = None,
    ) -> None:
        self._port = port
        self._login = login
        self._password = password
        self._address = address
        self._tls = tls
        self._connect = connect

    def send(
        self, message: EmailMessage | bytes, sender: str, recipients: Sequence[str], options: Sequence[str] = ()
    ) -> SmtpReply:
        """Send with this envelope: `sender` without angle brackets ("" is the null sender), recipients as spelled.

        Raises OSError or SMTPException only if the server does not reply.
        """
        data = message if isinstance(message, bytes) else message.as_bytes(policy=SMTP_POLICY)
        with _Connection(HOST, self._port, self._connect) as smtp:
            refusal = self._introduce(smtp)
            if refusal:
                return refusal
            code, text = smtp.mail(sender, list(options))
            if code != 250:
                return _reply("MAIL", code, text)
            for recipient in recipients:
                code, text = smtp.rcpt(recipient)
                if code not in (250, 251):
                    return _reply("RCPT", code, text)
            try:
                return _reply(".", *smtp.data(data))
            except smtplib.SMTPDataError as error:
                return _reply("DATA", error.smtp_code, error.smtp_error)

    def _introduce(self, smtp: smtplib.SMTP) -> SmtpReply | None:
        """Send EHLO and log in. Returns the refusal, if there is one."""
        code, text = smtp.ehlo()
        if code != 250:
            return _reply("EHLO", code, text)
        if self._tls is not None:
            code, text = smtp.starttls(context=self._tls)
            if code != 220:
                return _reply("STARTTLS", code, text)
            smtp.ehlo()
        if self._password:
            try:
                smtp.login(self._login, self._password)
            except smtplib.SMTPAuthenticationError as error:
                return _reply("AUTH", error.smtp_code, error.smtp_error)
            return None
        claims = [f"LOGIN={self._login}"] if self._login else []
        claims += [f"ADDR={self._address}"] if self._address else []
        if claims:
            code, text = smtp.docmd("XCLIENT", " ".join(claims))
            if code != 220:
                return _reply("XCLIENT", code, text)
            smtp.ehlo()
        return None


class _Connection(smtplib.SMTP):
    """An SMTP connection that is made with the given function."""

    def __init__(self, host: str, port: int, connect: Connect | None) -> None:
        self._made_by = connect
        super().__init__(host, port, local_hostname="client.example", timeout=_TIMEOUT)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        if self._made_by is not None:
            return self._made_by(port, timeout)
        return socket.create_connection((host, port), timeout)


def _reply(step: str, code: int, text: bytes | str) -> SmtpReply:
    return SmtpReply(step, code, text.decode("utf-8", "replace") if isinstance(text, bytes) else text)
