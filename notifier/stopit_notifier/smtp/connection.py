"""An SMTP connection with a deadline: no wait lasts longer, however slowly the server sends its bytes."""

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
    """An SMTP connection on which nothing waits beyond `until`, a time on the monotonic clock."""

    def __init__(self, until: float, monotonic: Callable[[], float], context: ssl.SSLContext | None) -> None:
        self.until = until
        self.hung = False
        """True if the server did not answer in time: it may still accept what it was sent."""
        self.begun: deque[float] = deque()
        """The times on the monotonic clock at which the pipelined messages were written whose reply is pending."""
        self._monotonic = monotonic
        self._prepare(context)

    def _prepare(self, _context: ssl.SSLContext | None) -> None:
        super().__init__(local_hostname="")

    def open(self, host: str, port: int, hostname: str) -> None:
        """Connect, and send EHLO with `hostname`."""
        self.local_hostname = hostname
        self._host = host  # the name that starttls checks the certificate for
        self.timeout = self.remaining()
        code, text = self.connect(host, port)
        if code != 220:
            raise smtplib.SMTPConnectError(code, text)
        # The dot is a write of its own, after a look at the clock. Without this option it would wait until the server
        # has acknowledged the write before, which takes 40 ms when the server has nothing to send (RFC 1122).
        if self.sock is not None:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.greet()

    def greet(self) -> None:
        """Send EHLO, or HELO if the server does not know it."""
        self.ehlo_or_helo_if_needed()

    @property
    def pipelines_messages(self) -> bool:
        """True if the server accepts whole messages without waiting for replies (PIPELINING and CHUNKING)."""
        return bool(self.has_extn("pipelining") and self.has_extn("chunking"))

    def ask(self, *commands: str) -> list[tuple[int, bytes]]:
        """Send these commands, and return the replies.

        With PIPELINING (RFC 2920) they are sent in one write; else one by one, up to the first refusal.
        """
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
        """Return the seconds until the deadline. Raises TimeoutError when it has passed."""
        left = self.until - self._monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left

    def getreply(self) -> tuple[int, bytes]:
        """Read the next reply, by the deadline."""
        if self.sock is None:
            raise smtplib.SMTPServerDisconnected("the connection is closed")
        if self.file is None:
            self.file = io.BufferedReader(_DeadlineReader(self.sock, self.remaining))
        try:
            return super().getreply()
        except (smtplib.SMTPException, OSError) as error:
            self.hung = isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError)
            raise

    def send(self, s: Any) -> None:
        """Send all of `s`, by the deadline."""
        try:
            if self.sock is not None:
                self.sock.settimeout(self.remaining())
            super().send(s)
        except TimeoutError:
            self.hung = True
            raise


class TlsSmtpConnection(SmtpConnection, smtplib.SMTP_SSL):
    """An SMTP connection with TLS from the first byte (RFC 8314)."""

    def _prepare(self, context: ssl.SSLContext | None) -> None:
        smtplib.SMTP_SSL.__init__(self, local_hostname="", context=context)


class _DeadlineReader(io.RawIOBase):
    """Reads from a socket, each time with the time that is left."""

    def __init__(self, sock: socket.socket, remaining: Callable[[], float]) -> None:
        self._sock = sock
        self._remaining = remaining

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read once."""
        self._sock.settimeout(self._remaining())
        return self._sock.recv_into(buffer)
