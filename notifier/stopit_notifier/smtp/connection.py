"""An SMTP connection with a deadline: no wait lasts longer, however slowly the server deals out its bytes."""

from __future__ import annotations

import io
import smtplib
import socket
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any

__all__ = ["SmtpConnection", "TlsSmtpConnection"]


class SmtpConnection(smtplib.SMTP):
    """An SMTP connection in which no wait lasts longer than `until` (on the monotonic clock), however the server
    deals out its bytes."""

    def __init__(self, until: float, monotonic: Callable[[], float], context: ssl.SSLContext | None) -> None:
        self.until = until
        self.hung = False
        """The server said nothing in time: what it has been sent it may take later yet."""
        self.begun: deque[float] = deque()
        """When each message was written of which the server has said nothing yet (on the monotonic clock)."""
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

    @property
    def streams(self) -> bool:
        """Whether the server takes messages one behind the other (PIPELINING and CHUNKING)."""
        return bool(self.has_extn("pipelining") and self.has_extn("chunking"))

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
        if self.sock is None:
            raise smtplib.SMTPServerDisconnected("the connection is closed")
        if self.file is None:
            self.file = io.BufferedReader(_Timed(self.sock, self.remaining))
        try:
            return super().getreply()
        except (smtplib.SMTPException, OSError) as error:
            self.hung = isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError)
            raise

    def send(self, s: Any) -> None:
        """All of `s`, by the deadline."""
        try:
            if self.sock is not None:
                self.sock.settimeout(self.remaining())
            super().send(s)
        except TimeoutError:
            self.hung = True
            raise


class TlsSmtpConnection(SmtpConnection, smtplib.SMTP_SSL):
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
