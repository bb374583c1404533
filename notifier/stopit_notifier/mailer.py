"""One message to one recipient by SMTP (RFC 5321), and a clear word of what became of it.

There are four ends, and the caller does something else for each: the MTA took it (True), the caller called it off
(False), the MTA said no (`Transient` for now, `Permanent` for good), or nobody knows (`Unanswered`): the final dot
went out and no answer came back. In the first three no copy is on its way that the caller doesn't know of.

So that this holds for a process that was stopped for an hour and goes on, too: between `before_data` and the final
dot there is a deadline. A dialog that is late is torn down before the dot, and the MTA throws away what it has
(RFC 5321 section 4.1.1.4). No server, however slow, can hold a send for longer than its two halves are given.

Certificates are checked (`smtplib` by itself checks none), and a login never goes over a connection in clear that
the settings want encrypted. The connection is kept between messages.
"""

from __future__ import annotations

import io
import re
import smtplib
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn, Protocol

from stopit_core.config import Smtp, Tls
from stopit_core.credentials import read_secret
from stopit_core.errors import Permanent, StopitError, Transient
from stopit_core.flow import clean
from stopit_notifier.steps import Probe, Step, no_probe

__all__ = ["Letter", "Mailer", "Unanswered"]

_AUTHENTICATION_REQUIRED = 530  # RFC 4954 section 6: the session is refused, not the message
_MAX_REPLY = 300


class Letter(Protocol):
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


class Mailer:
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
        probe: Probe = no_probe,
        monotonic: Callable[[], float] = time.monotonic,
        took: Callable[[float], object] = lambda _seconds: None,
    ) -> None:
        self._settings = settings
        self._hostname = hostname
        self._data_within = data_within
        self._probe = probe
        self._monotonic = monotonic
        self._took = took
        self._open: _Dialog | None = None

    def send(self, letter: Letter, before_data: Callable[[], bool]) -> bool:
        """Send it. True when the MTA took it; False when `before_data` said no, and then nothing was sent.

        `before_data` is asked once, when MAIL and RCPT were accepted and DATA comes next. Raises Transient,
        Permanent (each with the MTA's code and words) or Unanswered; what `before_data` raises comes through.
        """
        began = self._monotonic()
        try:
            dialog = self._addressed(letter)
            self._probe(Step.RECIPIENT_ACCEPTED)
            until = self._monotonic() + self._data_within  # what follows is late, also when the asking was slow
            if not before_data():
                return False  # the next RSET, or the end of the connection, forgets the recipient
            self._probe(Step.BEFORE_DATA)
            self._transfer(dialog, letter.data, until)
        except (Transient, Permanent, Unanswered):
            raise
        except smtplib.SMTPResponseException as error:
            self._refused("the dialog", error.smtp_code, error.smtp_error)
        except (smtplib.SMTPException, OSError) as error:
            self.close()
            raise Transient(f"{self._name()}: {error}") from error
        except BaseException:
            self.close()
            raise
        finally:
            self._took(self._monotonic() - began)
        return True

    def close(self) -> None:
        """Close the connection, if there is one. The next send opens another."""
        dialog, self._open = self._open, None
        if dialog is not None:
            dialog.close()

    def _addressed(self, letter: Letter) -> _Dialog:
        """An open dialog in which MAIL and RCPT of this letter were accepted, and no message before it is begun."""
        until = self._monotonic() + self._settings.timeout
        commands = (f"MAIL FROM:<{letter.envelope_from}>", f"RCPT TO:<{letter.recipient}>")
        replies: list[tuple[int, bytes]] = []
        if self._open is not None:
            self._open.until = until
            with suppress(smtplib.SMTPException, OSError):
                rset, *replies = self._open.ask("RSET", *commands)
                if rset[0] != 250:
                    replies = []
        if self._open is None or not replies:
            self.close()
            self._open = self._connect(until)
            replies = self._open.ask(*commands)
        self._probe(Step.CONNECTED)
        for what, reply, wanted in zip(("MAIL", "RCPT"), replies, ((250,), (250, 251)), strict=False):
            self._said(reply, what, *wanted)
        return self._open

    def _connect(self, until: float) -> _Dialog:
        settings = self._settings
        context = None if settings.tls is Tls.NONE else ssl.create_default_context()
        kind = _TlsDialog if settings.tls is Tls.IMPLICIT else _Dialog
        dialog = kind(until, self._monotonic, context)
        try:
            dialog.open(settings.host, settings.port, self._hostname)
            if settings.tls is Tls.STARTTLS:
                dialog.starttls(context=context)
                dialog.greet()
            if settings.login:
                dialog.login(settings.login, self._password())
        except smtplib.SMTPResponseException as error:  # nothing was said of a message yet, so it can wait
            dialog.close()
            raise Transient(f"{self._name()}: {_words(error.smtp_code, error.smtp_error)}") from error
        except BaseException:
            dialog.close()
            raise
        return dialog

    def _password(self) -> str:
        path = self._settings.password_file
        if path is None:
            raise Transient("smtp.password_file is not set")
        return read_secret(path)

    def _transfer(self, dialog: _Dialog, data: bytes, until: float) -> None:
        """DATA (RFC 5321 section 4.1.1.4): from the command to the answer to the final dot."""
        dialog.until = until
        self._said(dialog.docmd("DATA"), "DATA", 354)
        dialog.send(_dotted(data))
        self._probe(Step.BEFORE_DOT)
        if self._monotonic() >= dialog.until:
            self.close()
            raise Transient(f"{self._name()}: took too long for the message; it was torn down before its end")
        try:
            dialog.send(b".\r\n")
            self._probe(Step.AFTER_DOT)
            code, words = dialog.getreply()
        except (smtplib.SMTPException, OSError) as error:
            self.close()
            hung = isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError)
            raise Unanswered(f"{self._name()}: no answer to the end of the message: {error}", hung) from error
        if not 200 <= code < 600 or 300 <= code < 400:
            self.close()
            raise Unanswered(f"{self._name()}: no sense in the answer to the end of the message: {code}", hung=False)
        if code >= 300:
            self._refused("the message", code, words)
        self._probe(Step.ACCEPTED)

    def _said(self, reply: tuple[int, bytes], what: str, *wanted: int) -> None:
        if reply[0] not in wanted:
            self._refused(what, *reply)

    def _refused(self, what: str, code: int, words: bytes | str) -> NoReturn:
        text = f"{self._name()}: {what}: {_words(code, words)}"
        if not 500 <= code < 600 or code == _AUTHENTICATION_REQUIRED:
            self.close()  # what is temporary may be so for this connection alone
        if 500 <= code < 600 and code != _AUTHENTICATION_REQUIRED:
            raise Permanent(text)
        raise Transient(text)

    def _name(self) -> str:
        return f"smtp {self._settings.host}:{self._settings.port}"


class _Dialog(smtplib.SMTP):
    """An SMTP connection in which no wait lasts longer than `until` (on the monotonic clock), however the server
    deals out its bytes."""

    def __init__(self, until: float, monotonic: Callable[[], float], context: ssl.SSLContext | None) -> None:
        self.until = until
        self._monotonic = monotonic
        self._prepare(context)

    def _prepare(self, _context: ssl.SSLContext | None) -> None:
        super().__init__(local_hostname="")

    def open(self, host: str, port: int, hostname: str) -> None:
        """Connect, and say EHLO as `hostname`."""
        self.local_hostname = hostname
        self._host = host  # what starttls checks the certificate against
        self.timeout = self.remaining()
        code, words = self.connect(host, port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, words)
        # The dot goes out by itself, after a look at the clock. Without this it would wait until the server has
        # acknowledged what came before, and a server takes 40 ms for that when it has nothing to say (RFC 1122).
        if self.sock is not None:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.greet()

    def greet(self) -> None:
        """EHLO, else HELO."""
        self.ehlo_or_helo_if_needed()

    def ask(self, *commands: str) -> list[tuple[int, bytes]]:
        """Say these commands, and what the server says to each.

        In one go where it takes that (PIPELINING, RFC 2920); else one after the other, up to the first refusal.
        """
        if any("\r" in command or "\n" in command for command in commands):
            raise ValueError("a line end in an SMTP command")
        if self.has_extn("pipelining"):
            self.send("".join(f"{command}\r\n" for command in commands))
            return [self.getreply() for _ in commands]
        replies: list[tuple[int, bytes]] = []
        for command in commands:
            replies.append(self.docmd(command))
            if replies[-1][0] >= 300:
                break
        return replies

    def remaining(self) -> float:
        """Seconds left. Raises TimeoutError when there are none."""
        left = self.until - self._monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    def getreply(self) -> tuple[int, bytes]:
        """The next reply, read by the deadline."""
        if self.file is None and self.sock is not None:
            self.file = io.BufferedReader(_Timed(self.sock, self.remaining))
        return super().getreply()

    def send(self, s: Any) -> None:
        """All of `s`, by the deadline."""
        if self.sock is not None:
            self.sock.settimeout(self.remaining())
        super().send(s)


class _TlsDialog(_Dialog, smtplib.SMTP_SSL):
    """The same over TLS from the first byte (RFC 8314)."""

    def _prepare(self, context: ssl.SSLContext | None) -> None:
        smtplib.SMTP_SSL.__init__(self, local_hostname="", context=context)


class _Timed(io.RawIOBase):
    """What comes from a socket, each read with the time that is left."""

    def __init__(self, sock: socket.socket, remaining: Callable[[], float]) -> None:
        self._sock = sock
        self._remaining = remaining

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read once."""
        self._sock.settimeout(self._remaining())
        return self._sock.recv_into(buffer)


def _dotted(data: bytes) -> bytes:
    """The message as DATA carries it: line ends CRLF, the last line ended, leading dots doubled."""
    lines = re.sub(rb"\r\n|\r|\n", b"\r\n", data)
    ended = lines if lines.endswith(b"\r\n") else lines + b"\r\n"
    return re.sub(rb"(?m)^\.", b"..", ended)


def _words(code: int, words: bytes | str) -> str:
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    return clean(f"{code} {text}", _MAX_REPLY)
