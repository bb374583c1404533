"""Sends one message to one recipient by SMTP (RFC 5321), and returns a definite result.

`SendResult` says what happened: the MTA accepted the message, the caller called it off, the MTA deferred or refused
it, or nobody knows, because the final dot was sent and no reply came. In all cases but the last no copy is on its way
that the caller does not know of.

This also holds for a process that was stopped for an hour and continues: there is a deadline between `before_data`
and the final dot. A connection that is late is closed before the dot, and the MTA drops what it has (RFC 5321
section 4.1.1.4). No server, however slow, can delay a send for longer than the two limits allow.

Certificates are checked (`smtplib` by itself checks none), and a login is never sent over an unencrypted connection
that the settings want encrypted. The connection is kept between messages.
"""

from __future__ import annotations

import re
import smtplib
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from stopit_core.config import Smtp, Tls
from stopit_core.credentials import read_secret
from stopit_core.errors import Transient
from stopit_core.outgoing.format_flowed import clean
from stopit_notifier.failpoints import Failpoint, FailpointHook, no_failpoint
from stopit_notifier.smtp.connection import SmtpConnection, TlsSmtpConnection
from stopit_notifier.smtp.send_result import CALLED_OFF, SENT, SendResult, SendStatus

__all__ = ["SmtpClient", "SmtpMessage", "unsendable"]

_AUTHENTICATION_REQUIRED = 530  # RFC 4954 section 6: it refuses the session, not the message
_MAX_REPLY = 300

Reply = tuple[int, bytes | str]


class SmtpMessage(Protocol):
    """A message that can be sent: `Outgoing`, or a row of the outbox. `data` is ASCII, with dots not doubled."""

    @property
    def envelope_from(self) -> str:
        """The reverse path, without angle brackets."""

    @property
    def recipient(self) -> str:
        """The one recipient."""

    @property
    def data(self) -> bytes:
        """The whole message."""


class SmtpClient:
    """Sends through the MTA of the settings. For one thread.

    `hostname` is the name for EHLO. `data_within` is the time in seconds from the call of `before_data` to the reply
    to the final dot. All before that (connecting, login, MAIL, RCPT) has `settings.timeout` seconds. `took` is called
    with the duration of each attempt in seconds, however it ended.
    """

    def __init__(
        self,
        settings: Smtp,
        hostname: str,
        data_within: float,
        failpoint: FailpointHook = no_failpoint,
        monotonic: Callable[[], float] = time.monotonic,
        took: Callable[[float], object] = lambda _seconds: None,
    ) -> None:
        self._settings = settings
        self._hostname = hostname
        self._data_within = data_within
        self._failpoint = failpoint
        self._monotonic = monotonic
        self._took = took
        self._open: SmtpConnection | None = None

    def send(self, message: SmtpMessage, before_data: Callable[[], bool]) -> SendResult:
        """Send a message. An error in the result has the MTA's code and text.

        `before_data` is called once, when MAIL and RCPT were accepted and DATA comes next; if it returns False,
        nothing is sent. What it raises is raised.
        """
        if (refused := unsendable(message)) is not None:
            return refused
        began = self._monotonic()
        try:
            return self._send(message, before_data)
        except smtplib.SMTPResponseException as error:
            return self._failed("the connection", (error.smtp_code, error.smtp_error))
        except (smtplib.SMTPException, OSError) as error:
            self.close()
            return SendResult(SendStatus.DEFERRED, f"{self.name}: {error}")
        except Transient:
            raise  # of `before_data`: the connection is as good as before
        except BaseException:
            self.close()
            raise
        finally:
            self._took(self._monotonic() - began)

    def ready(self) -> SmtpConnection:
        """Return an open connection that answers, for `write`. Raises Transient when there is none."""
        until = self._monotonic() + self._settings.timeout
        if self._open is not None:
            self._open.until = until
            with suppress(smtplib.SMTPException, OSError):
                if self._open.ask("RSET")[0][0] == 250:
                    return self._open
        self.close()
        try:
            self._open = self._connect(until)
        except (smtplib.SMTPException, OSError) as error:
            raise Transient(f"{self.name}: {error}") from error
        return self._open

    def write(self, connection: SmtpConnection, message: SmtpMessage, in_time: Callable[[], bool]) -> bool:
        """Write a whole message to a server that accepts it so (`SmtpConnection.pipelines_messages`).

        Return False, and write nothing, if `in_time` says that it is too late. `read_result` returns the results in
        the order of the messages. Raises OSError or SMTPException when not all of it was written: then the server
        cannot accept it.
        """
        self._failpoint(Failpoint.CONNECTED)
        whole = _pipelined(message)
        connection.until = self._monotonic() + self._data_within
        if not in_time():
            return False
        self._failpoint(Failpoint.BEFORE_DATA)
        connection.begun.append(self._monotonic())
        connection.send(whole)
        self._failpoint(Failpoint.AFTER_DOT)
        return True

    def read_result(self, connection: SmtpConnection) -> SendResult:
        """Read the replies to the oldest message that was written. Raises OSError or SMTPException without one."""
        try:
            *replies, last = [connection.getreply() for _ in range(4)]
        finally:
            self._took(self._monotonic() - connection.begun.popleft())
        for what, reply, wanted in zip(("RSET", "MAIL", "RCPT"), replies, ((250,), (250,), (250, 251)), strict=True):
            if reply[0] not in wanted:
                return self._refusal(what, reply)
        return self._end(last)

    def unanswered(self, connection: SmtpConnection, error: Exception) -> SendResult:
        """Return the result of a message whose end was sent on a connection that gives no reply any more."""
        status = SendStatus.HUNG if connection.hung else SendStatus.UNANSWERED
        return SendResult(status, f"{self.name}: no reply to the end of the message: {error}")

    def detach(self) -> None:
        """Continue on a new connection; the reader of the old one closes it after its last reply."""
        self._open = None

    def close(self) -> None:
        """Close the connection, if there is one. The next send opens another."""
        connection, self._open = self._open, None
        if connection is not None:
            connection.close()

    @property
    def name(self) -> str:
        """The server, for error texts."""
        return f"smtp {self._settings.host}:{self._settings.port}"

    def _send(self, message: SmtpMessage, before_data: Callable[[], bool]) -> SendResult:
        connection, replies = self._address(message)
        self._failpoint(Failpoint.CONNECTED)
        for what, reply, wanted in zip(("MAIL", "RCPT"), replies, ((250,), (250, 251)), strict=False):
            if reply[0] not in wanted:
                return self._failed(what, reply)
        self._failpoint(Failpoint.RECIPIENT_ACCEPTED)
        until = self._monotonic() + self._data_within  # counts from here, also when `before_data` is slow
        if not before_data():
            return CALLED_OFF  # the next RSET, or the end of the connection, forgets the recipient
        self._failpoint(Failpoint.BEFORE_DATA)
        return self._transfer(connection, message.data, until)

    def _address(self, message: SmtpMessage) -> tuple[SmtpConnection, list[tuple[int, bytes]]]:
        """Send MAIL and RCPT on the open connection, or on a new one. Return the connection and the replies."""
        until = self._monotonic() + self._settings.timeout
        commands = (f"MAIL FROM:<{message.envelope_from}>", f"RCPT TO:<{message.recipient}>")
        if self._open is not None:
            self._open.until = until
            with suppress(smtplib.SMTPException, OSError):
                rset, *replies = self._open.ask("RSET", *commands)
                # Postfix keeps answering 451 on a connection that met a dead milter, also when the milter is back.
                if rset[0] == 250 and replies and not any(400 <= code < 500 for code, _ in replies):
                    return self._open, replies
        self.close()
        self._open = self._connect(until)
        return self._open, self._open.ask(*commands)

    def _connect(self, until: float) -> SmtpConnection:
        settings = self._settings
        context = None if settings.tls is Tls.NONE else ssl.create_default_context()
        kind = TlsSmtpConnection if settings.tls is Tls.IMPLICIT else SmtpConnection
        connection = kind(until, self._monotonic, context)
        try:
            connection.open(settings.host, settings.port, self._hostname)
            if settings.tls is Tls.STARTTLS:
                connection.starttls(context=context)
                connection.greet()
            if settings.login:
                connection.login(settings.login, self._password())
        except smtplib.SMTPResponseException as error:  # no message was named yet, so another attempt may succeed
            connection.close()
            raise smtplib.SMTPException(_text(error.smtp_code, error.smtp_error)) from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _password(self) -> str:
        path = self._settings.password_file
        if path is None:
            raise smtplib.SMTPException("smtp.password_file is not set")
        return read_secret(path)

    def _transfer(self, connection: SmtpConnection, data: bytes, until: float) -> SendResult:
        """Send DATA (RFC 5321 section 4.1.1.4): from the command to the reply to the final dot."""
        connection.until = until
        reply = connection.docmd("DATA")
        if reply[0] != 354:
            return self._failed("DATA", reply)
        connection.send(_dotted(data))
        self._failpoint(Failpoint.BEFORE_DOT)
        if self._monotonic() >= connection.until:
            self.close()
            error = "took too long for the message; the connection was closed before its end"
            return SendResult(SendStatus.DEFERRED, f"{self.name}: {error}")
        try:
            connection.send(b".\r\n")
            self._failpoint(Failpoint.AFTER_DOT)
            reply = connection.getreply()
        except (smtplib.SMTPException, OSError) as error:
            self.close()
            return self.unanswered(connection, error)
        result = self._end(reply)
        if result.status in (SendStatus.DEFERRED, SendStatus.UNANSWERED):
            self.close()
        return result

    def _end(self, reply: Reply) -> SendResult:
        """Return the result that the reply to the end of the message means."""
        code, _ = reply
        if not 200 <= code < 600 or 300 <= code < 400:
            return SendResult(
                SendStatus.UNANSWERED, f"{self.name}: unexpected reply to the end of the message: {code}"
            )
        if code >= 300:
            return self._refusal("the message", reply)
        self._failpoint(Failpoint.ACCEPTED)
        return SENT

    def _failed(self, what: str, reply: Reply) -> SendResult:
        """Return the result of a negative reply. A temporary one may be of this connection alone: close it."""
        result = self._refusal(what, reply)
        if result.status is SendStatus.DEFERRED:
            self.close()
        return result

    def _refusal(self, what: str, reply: Reply) -> SendResult:
        code, text = reply
        permanent = 500 <= code < 600 and code != _AUTHENTICATION_REQUIRED
        status = SendStatus.REFUSED if permanent else SendStatus.DEFERRED
        return SendResult(status, f"{self.name}: {what}: {_text(code, text)}")


def unsendable(message: SmtpMessage) -> SendResult | None:
    """Return a refusal if an address has a line end, which would make a command of its own; else None."""
    envelope = message.envelope_from + message.recipient
    if "\r" in envelope or "\n" in envelope:
        return SendResult(SendStatus.REFUSED, "not sent: a line end in an address")
    return None


def _mended(data: bytes) -> bytes:
    """Return the message with CRLF line ends, the last line ended."""
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", data)
    return lines if lines.endswith(b"\r\n") else lines + b"\r\n"


def _dotted(data: bytes) -> bytes:
    """Return the message as DATA carries it: leading dots doubled."""
    return re.sub(rb"(?m)^\.", b"..", _mended(data))


def _pipelined(message: SmtpMessage) -> bytes:
    """Return all commands of a pipelined message, and the message (RFC 3030)."""
    data = _mended(message.data)
    envelope = f"RSET\r\nMAIL FROM:<{message.envelope_from}>\r\nRCPT TO:<{message.recipient}>\r\n"
    return f"{envelope}BDAT {len(data)} LAST\r\n".encode("ascii") + data


def _text(code: int, text: bytes | str) -> str:
    decoded = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return clean(f"{code} {decoded}", _MAX_REPLY)
