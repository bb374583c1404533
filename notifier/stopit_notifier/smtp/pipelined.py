"""Sends whole messages pipelined on one connection: each is one write, and the replies are read as they come.

With PIPELINING (RFC 2920) and CHUNKING (RFC 3030) a message needs no reply before it is sent:

    RSET, MAIL, RCPT, BDAT n LAST, and n octets

So the next messages are on their way while the server writes the first to its disk, and neither side waits for the
other. RSET is there because a refused BDAT leaves the state of the server open (RFC 3030 section 2): no recipient of
one message can become one of the next.

The record cannot be asked between RCPT and the message, and a connection that breaks leaves a few messages without a
reply. So this is for acknowledgements and alerts, of which a second copy does no harm; a notice is never sent like
this. To a server without both extensions each message is sent by itself (`SmtpClient.send`).

docs/performance-notifier.md says what it gains.
"""

from __future__ import annotations

import smtplib
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from stopit_core.errors import Transient
from stopit_core.outgoing.leak_check import Unsafe
from stopit_notifier.smtp.client import SmtpClient, SmtpMessage, unsendable
from stopit_notifier.smtp.connection import SmtpConnection
from stopit_notifier.smtp.send_result import CALLED_OFF, SendResult, SendStatus

__all__ = ["PipelinedSender"]

_AHEAD = 4
"""Number of messages without a reply: enough that the server never waits, and few that a crash leaves in doubt."""

M = TypeVar("M", bound=SmtpMessage)


class PipelinedSender(Generic[M]):
    """Sends many messages through one client.

    `check` raises Unsafe for a message that may not leave. `in_time` is called right before each message is sent, and
    returns False when it is too late.
    """

    def __init__(self, client: SmtpClient, check: Callable[[M], None], in_time: Callable[[], bool]) -> None:
        self._client = client
        self._check = check
        self._in_time = in_time
        self._connection: SmtpConnection | None = None
        self._pending: deque[tuple[M, SmtpConnection]] = deque()

    def send(self, messages: Iterator[M]) -> Iterator[tuple[M, SendResult]]:
        """Send these messages, and yield the result of each, not always in their order."""
        try:
            for message in messages:
                if (result := self._write(message)) is not None:
                    yield message, result
                if len(self._pending) == _AHEAD:
                    yield self._completion()
            while self._pending:
                yield self._completion()
        except BaseException:
            self._client.close()  # a message may be half-written
            for _, connection in self._pending:
                connection.close()
            raise

    def _write(self, message: M) -> SendResult | None:
        """Write a message. Return None when its reply is pending, else its result."""
        try:
            self._check(message)
        except Unsafe as error:
            return SendResult(SendStatus.REFUSED, str(error))
        if (refused := unsendable(message)) is not None:
            return refused
        if not self._in_time():
            return CALLED_OFF
        try:
            connection = self._connection or self._client.ready()
        except Transient as error:
            return SendResult(SendStatus.DEFERRED, str(error))
        if not connection.pipelines_messages:
            return self._client.send(message, self._in_time)
        self._connection = connection
        try:
            if not self._client.write(connection, message, self._in_time):
                return CALLED_OFF
        except (smtplib.SMTPException, OSError) as error:  # it was not sent whole, so it cannot be accepted
            self._drop_connection()
            return SendResult(SendStatus.DEFERRED, f"{self._client.name}: {error}")
        self._pending.append((message, connection))
        return None

    def _completion(self) -> tuple[M, SendResult]:
        """Return the result of the message whose reply has been pending for longest."""
        message, connection = self._pending.popleft()
        try:
            result = self._client.read_result(connection)
        except (smtplib.SMTPException, OSError) as error:
            if connection is self._connection:
                self._drop_connection()
            return message, self._client.unanswered(connection, error)
        if result.status is SendStatus.DEFERRED and connection is self._connection:
            # The cause may be this connection. The next message uses another one.
            self._connection = None
            self._client.detach()
        if connection is not self._connection and all(other is not connection for _, other in self._pending):
            connection.close()
        return message, result

    def _drop_connection(self) -> None:
        """Close the connection; messages that are pending on it get no reply."""
        self._connection = None
        self._client.close()
