"""Messages one behind the other on one connection: each is one write, and the answers are read as they come.

With PIPELINING (RFC 2920) and CHUNKING (RFC 3030) a message needs no word of the server before it goes out:

    RSET, MAIL, RCPT, BDAT n LAST, and n octets

So the next ones are on their way while the server writes the first to its disk, and neither side waits for the
other. RSET is there because a refused BDAT leaves open what the server still remembers (RFC 3030 section 2): no
recipient of one message can become one of the next.

Nobody can be asked between RCPT and the message, and a connection that breaks leaves a few messages of which nobody
knows (`Unanswered`). So this is for acknowledgements and alerts, which do no harm when they come twice; a notice is
never sent so. To a server that has not both extensions each message goes by itself (`SmtpClient.send`).
"""

from __future__ import annotations

import smtplib
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from stopit_core.errors import Transient
from stopit_notifier.smtp.client import End, SmtpClient, SmtpMessage
from stopit_notifier.smtp.connection import SmtpConnection
from stopit_notifier.smtp.pool import attempt

__all__ = ["PipelinedSender"]

_AHEAD = 4
"""So many messages are on their way at once: enough that the server never waits, few that a crash leaves in doubt."""

L = TypeVar("L", bound=SmtpMessage)


class PipelinedSender(Generic[L]):
    """Sends many messages through one client.

    `check` raises what forbids a message. `in_time` is asked right before each goes out: whether it still may.
    """

    def __init__(self, client: SmtpClient, check: Callable[[L], None], in_time: Callable[[], bool]) -> None:
        self._client = client
        self._check = check
        self._in_time = in_time
        self._connection: SmtpConnection | None = None
        self._under_way: deque[tuple[L, SmtpConnection]] = deque()

    def send(self, messages: Iterator[L]) -> Iterator[tuple[L, End]]:
        """Send these, and what became of each (`couriers.End`), not always in their order."""
        try:
            for message in messages:
                if (end := self._set_out(message)) is not None:
                    yield message, end
                if len(self._under_way) == _AHEAD:
                    yield self._completion()
            while self._under_way:
                yield self._completion()
        except BaseException:
            self._client.close()  # it has heard only a part
            for _, connection in self._under_way:
                connection.close()
            raise

    def _set_out(self, message: L) -> End | None:
        """Write a message; None when it is under way, else what became of it."""
        try:
            self._check(message)
        except Exception as error:  # noqa: BLE001  the others have still to be sent
            return error
        if not self._in_time():
            return False
        try:
            connection = self._connection or self._client.ready()
        except Transient as error:
            return error
        if not connection.streams:
            return attempt(self._client, message, self._in_time)
        self._connection = connection
        try:
            if not self._client.write(connection, message, self._in_time):
                return False
        except (smtplib.SMTPException, OSError) as error:  # not all of it went out, so it cannot be taken
            self._lose()
            return Transient(f"{self._client.name}: {error}")
        except ValueError as error:  # it cannot be said in SMTP; nothing of it went out
            return error
        self._under_way.append((message, connection))
        return None

    def _completion(self) -> tuple[L, End]:
        """What became of the message that is under way for longest."""
        message, connection = self._under_way.popleft()
        try:
            end = self._client.heard(connection)
        except (smtplib.SMTPException, OSError) as error:
            if connection is self._connection:
                self._lose()
            return message, self._client.unanswered(connection, error)
        if isinstance(end, Transient) and connection is self._connection:  # it may be so for this connection alone
            self._connection = None
            self._client.part()
        if connection is not self._connection and all(other is not connection for _, other in self._under_way):
            connection.close()
        return message, end

    def _lose(self) -> None:
        """Close the connection; messages that are still under way on it get no answer."""
        self._connection = None
        self._client.close()
