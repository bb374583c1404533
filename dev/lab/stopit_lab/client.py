"""A mail client: hands a message to one of Postfix's doors and reports what the server said to each step."""

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
"""How a port is reached, within so many seconds, where that is not by this machine's own network."""


@dataclass(frozen=True, slots=True)
class SmtpReply:
    """The reply that decided about a message (RFC 5321 section 4.2): the first that was no success, else the last.

    `step` is the command that it answers: "MAIL", "RCPT", "DATA", or "." for the end of the message.
    """

    step: str
    code: int
    text: str

    @property
    def accepted(self) -> bool:
        """Whether the server has taken charge of the message."""
        return self.step == "." and self.code == 250

    @property
    def temporary(self) -> bool:
        """Whether the client keeps the message and tries again."""
        return 400 <= self.code < 500

    @property
    def queue_id(self) -> str:
        """The queue id in Postfix's reply to the end of the message, "" when there is none."""
        return self.text.rpartition("queued as ")[2].strip() if self.accepted else ""

    def __str__(self) -> str:
        return f"{self.code} {self.text} (to {self.step})"


class Client:
    """Sends through one port. `login` is claimed by XCLIENT, unless there is a `password`: then by SASL.

    `address` is the client address that the MTA shall see instead of the real one (XCLIENT ADDR). With `tls` there is
    STARTTLS before anything is claimed. `connect` is how to reach a host that lives elsewhere.
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

        Raises OSError or SMTPException only where the server says nothing at all.
        """
        data = message if isinstance(message, bytes) else message.as_bytes(policy=SMTP_POLICY)
        with _Door(HOST, self._port, self._connect) as door:
            refusal = self._introduce(door)
            if refusal:
                return refusal
            code, text = door.mail(sender, list(options))
            if code != 250:
                return _reply("MAIL", code, text)
            for recipient in recipients:
                code, text = door.rcpt(recipient)
                if code not in (250, 251):
                    return _reply("RCPT", code, text)
            try:
                return _reply(".", *door.data(data))
            except smtplib.SMTPDataError as error:
                return _reply("DATA", error.smtp_code, error.smtp_error)

    def _introduce(self, door: smtplib.SMTP) -> SmtpReply | None:
        """EHLO and the login; the reply that refuses, if one does."""
        code, text = door.ehlo()
        if code != 250:
            return _reply("EHLO", code, text)
        if self._tls is not None:
            code, text = door.starttls(context=self._tls)
            if code != 220:
                return _reply("STARTTLS", code, text)
            door.ehlo()
        if self._password:
            try:
                door.login(self._login, self._password)
            except smtplib.SMTPAuthenticationError as error:
                return _reply("AUTH", error.smtp_code, error.smtp_error)
            return None
        claims = [f"LOGIN={self._login}"] if self._login else []
        claims += [f"ADDR={self._address}"] if self._address else []
        if claims:
            code, text = door.docmd("XCLIENT", " ".join(claims))
            if code != 220:
                return _reply("XCLIENT", code, text)
            door.ehlo()
        return None


class _Door(smtplib.SMTP):
    """A connection that is made the given way."""

    def __init__(self, host: str, port: int, connect: Connect | None) -> None:
        self._made_by = connect
        super().__init__(host, port, local_hostname="client.example", timeout=_TIMEOUT)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        if self._made_by is not None:
            return self._made_by(port, timeout)
        return socket.create_connection((host, port), timeout)


def _reply(step: str, code: int, text: bytes | str) -> SmtpReply:
    return SmtpReply(step, code, text.decode("utf-8", "replace") if isinstance(text, bytes) else text)
