"""One message to one recipient by SMTP (RFC 5321), and a clear word of what became of it.

There are four ends, and the caller does something else for each: the MTA took it (True), the caller called it off
(False), the MTA said no (`Transient` for now, `Permanent` for good), or nobody knows (`Unanswered`): the final dot
went out and no answer came back. In the first three no copy is on its way that the caller doesn't know of.

So that this holds for a process that was stopped for an hour and goes on, too: between `before_data` and the final
dot there is a deadline. A connection that is late is torn down before the dot, and the MTA throws away what it has
(RFC 5321 section 4.1.1.4). No server, however slow, can hold a send for longer than its two halves are given.

Certificates are checked (`smtplib` by itself checks none), and a login never goes over a connection in clear that
the settings want encrypted. The connection is kept between messages.
"""

from __future__ import annotations

import re
import smtplib
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn, Protocol

from stopit_core.config import Smtp, Tls
from stopit_core.credentials import read_secret
from stopit_core.errors import Permanent, StopitError, Transient
from stopit_core.outgoing.format_flowed import clean
from stopit_notifier.failpoints import Failpoint, FailpointHook, no_failpoint
from stopit_notifier.smtp.connection import SmtpConnection, TlsSmtpConnection

__all__ = ["End", "SmtpClient", "SmtpMessage", "Unanswered"]

_AUTHENTICATION_REQUIRED = 530  # RFC 4954 section 6: the session is refused, not the message
_MAX_REPLY = 300


class SmtpMessage(Protocol):
    """What can be sent: `Outgoing`, or a row of the outbox. `data` is ASCII with CRLF line ends, dots not doubled."""

    @property
    def envelope_from(self) -> str:
        """The reverse path, without angle brackets."""

    @property
    def recipient(self) -> str:
        """The one recipient."""

    @property
    def data(self) -> bytes:
        """The whole message."""


class Unanswered(StopitError):
    """The whole message went out, dot and all, and no answer came: the MTA has it, or not.

    `hung`: the MTA was still connected, so it may take the message later yet. Otherwise the connection broke, and
    whatever the MTA did with the message is done.
    """

    def __init__(self, text: str, hung: bool) -> None:
        super().__init__(text)
        self.hung = hung


End = bool | Exception
"""What became of an attempt: True, the MTA took it; False, it was called off; else why not (`SmtpClient.send`)."""


class SmtpClient:
    """Sends through the MTA of the settings. For one thread.

    `hostname` is said in EHLO. `data_within`: seconds from asking `before_data` to the answer to the final dot. All
    before that (connecting, login, MAIL, RCPT) has `settings.timeout` seconds. `took` is told how many seconds each
    attempt took, however it ended.
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

    def send(self, message: SmtpMessage, before_data: Callable[[], bool]) -> bool:
        """Send it. True when the MTA took it; False when `before_data` said no, and then nothing was sent.

        `before_data` is asked once, when MAIL and RCPT were accepted and DATA comes next. Raises Transient,
        Permanent (each with the MTA's code and words) or Unanswered; what `before_data` raises comes through.
        """
        began = self._monotonic()
        try:
            connection = self._addressed(message)
            self._failpoint(Failpoint.RECIPIENT_ACCEPTED)
            until = self._monotonic() + self._data_within  # what follows is late, also when the asking was slow
            if not before_data():
                return False  # the next RSET, or the end of the connection, forgets the recipient
            self._failpoint(Failpoint.BEFORE_DATA)
            self._transfer(connection, message.data, until)
        except (Transient, Permanent, Unanswered):
            raise
        except smtplib.SMTPResponseException as error:
            self._refused("the connection", error.smtp_code, error.smtp_error)
        except (smtplib.SMTPException, OSError) as error:
            self.close()
            raise Transient(f"{self.name}: {error}") from error
        except BaseException:
            self.close()
            raise
        finally:
            self._took(self._monotonic() - began)
        return True

    def ready(self) -> SmtpConnection:
        """An open connection that answers, for `write`. Raises Transient when there is none to be had."""
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
        """Write a message whole, to a server that takes it so (`SmtpConnection.streams`); False when it is too late
        for it.

        What `heard` tells next is of the oldest message that was written. Raises OSError or SMTPException when not
        all of it went out: then the server cannot take it.
        """
        self._failpoint(Failpoint.CONNECTED)
        whole = _streamed(message)
        connection.until = self._monotonic() + self._data_within
        if not in_time():
            return False
        self._failpoint(Failpoint.BEFORE_DATA)
        connection.begun.append(self._monotonic())
        connection.send(whole)
        self._failpoint(Failpoint.AFTER_DOT)
        return True

    def heard(self, connection: SmtpConnection) -> End:
        """What the server says of the oldest message that was written. OSError or SMTPException: nothing."""
        try:
            replies = [connection.getreply() for _ in range(4)]
        finally:
            self._took(self._monotonic() - connection.begun.popleft())
        for what, reply, wanted in zip(("RSET", "MAIL", "RCPT"), replies, ((250,), (250,), (250, 251)), strict=False):
            if reply[0] not in wanted:
                return self._refusal(what, *reply)
        code, words = replies[-1]
        if not 200 <= code < 600 or 300 <= code < 400:
            return Unanswered(f"{self.name}: no sense in the answer to the message: {code}", hung=False)
        if code >= 300:
            return self._refusal("the message", code, words)
        self._failpoint(Failpoint.ACCEPTED)
        return True

    def unanswered(self, connection: SmtpConnection, error: Exception) -> Unanswered:
        """The end of a message that was written to a connection of which no answer comes any more."""
        return Unanswered(f"{self.name}: no answer to the end of the message: {error}", connection.hung)

    def part(self) -> None:
        """Go on over another connection. Whoever has still to hear from this one closes it."""
        self._open = None

    def close(self) -> None:
        """Close the connection, if there is one. The next send opens another."""
        connection, self._open = self._open, None
        if connection is not None:
            connection.close()

    def _addressed(self, message: SmtpMessage) -> SmtpConnection:
        """An open connection in which MAIL and RCPT of this message were accepted, and no message before it is
        begun."""
        until = self._monotonic() + self._settings.timeout
        commands = (f"MAIL FROM:<{message.envelope_from}>", f"RCPT TO:<{message.recipient}>")
        replies: list[tuple[int, bytes]] = []
        if self._open is not None:
            self._open.until = until
            with suppress(smtplib.SMTPException, OSError):
                rset, *replies = self._open.ask("RSET", *commands)
                # Postfix goes on answering 451 over a connection that met a milter which is back since.
                if rset[0] != 250 or any(400 <= code < 500 for code, _ in replies):
                    replies = []
        if self._open is None or not replies:
            self.close()
            self._open = self._connect(until)
            replies = self._open.ask(*commands)
        self._failpoint(Failpoint.CONNECTED)
        for what, reply, wanted in zip(("MAIL", "RCPT"), replies, ((250,), (250, 251)), strict=False):
            self._said(reply, what, *wanted)
        return self._open

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
        except smtplib.SMTPResponseException as error:  # nothing was said of a message yet, so it can wait
            connection.close()
            raise Transient(f"{self.name}: {_words(error.smtp_code, error.smtp_error)}") from error
        except BaseException:
            connection.close()
            raise
        return connection

    def _password(self) -> str:
        path = self._settings.password_file
        if path is None:
            raise Transient("smtp.password_file is not set")
        return read_secret(path)

    def _transfer(self, connection: SmtpConnection, data: bytes, until: float) -> None:
        """DATA (RFC 5321 section 4.1.1.4): from the command to the answer to the final dot."""
        connection.until = until
        self._said(connection.docmd("DATA"), "DATA", 354)
        connection.send(_dotted(data))
        self._failpoint(Failpoint.BEFORE_DOT)
        if self._monotonic() >= connection.until:
            self.close()
            raise Transient(f"{self.name}: took too long for the message; it was torn down before its end")
        try:
            connection.send(b".\r\n")
            self._failpoint(Failpoint.AFTER_DOT)
            code, words = connection.getreply()
        except (smtplib.SMTPException, OSError) as error:
            self.close()
            raise self.unanswered(connection, error) from error
        if not 200 <= code < 600 or 300 <= code < 400:
            self.close()
            raise Unanswered(f"{self.name}: no sense in the answer to the end of the message: {code}", hung=False)
        if code >= 300:
            self._refused("the message", code, words)
        self._failpoint(Failpoint.ACCEPTED)

    def _said(self, reply: tuple[int, bytes], what: str, *wanted: int) -> None:
        if reply[0] not in wanted:
            self._refused(what, *reply)

    def _refused(self, what: str, code: int, words: bytes | str) -> NoReturn:
        refusal = self._refusal(what, code, words)
        if isinstance(refusal, Transient):
            self.close()  # what is temporary may be so for this connection alone
        raise refusal

    def _refusal(self, what: str, code: int, words: bytes | str) -> Transient | Permanent:
        text = f"{self.name}: {what}: {_words(code, words)}"
        if 500 <= code < 600 and code != _AUTHENTICATION_REQUIRED:
            return Permanent(text)
        return Transient(text)

    @property
    def name(self) -> str:
        """Where it sends to, for messages."""
        return f"smtp {self._settings.host}:{self._settings.port}"


def _mended(data: bytes) -> bytes:
    """The message with line ends that are CRLF, the last line ended."""
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", data)
    return lines if lines.endswith(b"\r\n") else lines + b"\r\n"


def _dotted(data: bytes) -> bytes:
    """The message as DATA carries it: leading dots doubled."""
    return re.sub(rb"(?m)^\.", b"..", _mended(data))


def _streamed(message: SmtpMessage) -> bytes:
    """All that is said for one message to a server that is not waited for (RFC 3030)."""
    data = _mended(message.data)
    envelope = f"MAIL FROM:<{message.envelope_from}>\r\nRCPT TO:<{message.recipient}>\r\n"
    if envelope.count("\r") + envelope.count("\n") > 4:
        raise ValueError("a line end in an SMTP command")
    return f"RSET\r\n{envelope}BDAT {len(data)} LAST\r\n".encode("ascii") + data


def _words(code: int, words: bytes | str) -> str:
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    return clean(f"{code} {text}", _MAX_REPLY)
