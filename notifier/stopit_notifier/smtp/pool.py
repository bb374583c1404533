"""A pool of connections to the MTA, on which the messages of a batch are sent side by side.

An MTA that has received a message writes it to its disk, and asks our milter, before it replies. A single connection
waits for that. With several, the MTA receives the next messages meanwhile, and the milter writes their traces in one
go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from stopit_core.cases import MessageRow
from stopit_notifier.smtp.client import SmtpClient
from stopit_notifier.smtp.send_result import SendResult

__all__ = ["ConnectionPool", "InFlightBatch", "Sent"]

Sent = tuple[MessageRow, SendResult]
"""A message and the result of the attempt to send it."""


class InFlightBatch:
    """A batch whose messages are being sent."""

    def __init__(self, work: Sequence[Future[None]], sent: list[Sent], errors: list[Exception]) -> None:
        self._work = work
        self._sent = sent
        self._errors = errors

    @property
    def done(self) -> bool:
        """True when every message has a result."""
        return all(work.done() for work in self._work)

    def results(self) -> list[Sent]:
        """Wait for the batch, and return the result of each message, in any order.

        A message whose attempt raised an exception is missing: see `errors`.
        """
        for work in self._work:
            work.result()
        return self._sent

    @property
    def errors(self) -> Sequence[Exception]:
        """The exceptions that attempts raised, after `results`."""
        return self._errors


class ConnectionPool:
    """Several SMTP clients with a thread each.

    `first` is for a message that is sent by itself, while no batch is in flight.
    """

    def __init__(self, clients: Sequence[SmtpClient]) -> None:
        self.first = clients[0]
        self._clients = tuple(clients)
        # A client is for one thread: each has its own, for one batch after the other. They start when needed.
        self._threads = tuple(ThreadPoolExecutor(1, "smtp") for _ in self._clients)

    def submit(
        self, batch: Sequence[MessageRow], send: Callable[[SmtpClient, Iterator[MessageRow]], Iterator[Sent]]
    ) -> InFlightBatch:
        """Send the messages of the batch, in any order, with `send`. Returns at once.

        `send` is called by several threads; each takes the next messages from the same iterator as it is ready for
        them. When it raises an exception, the messages that it took and has not yielded have no result.
        """
        waiting = deque(batch)
        sent: list[Sent] = []
        errors: list[Exception] = []

        def remaining() -> Iterator[MessageRow]:
            while waiting:
                try:
                    yield waiting.popleft()
                except IndexError:  # another thread took the last one
                    return

        def work(client: SmtpClient) -> None:
            while waiting:
                try:
                    for each in send(client, remaining()):
                        sent.append(each)
                except Exception as error:  # noqa: BLE001  the other messages are still to be sent
                    errors.append(error)

        together = zip(self._threads, self._clients, strict=True)
        return InFlightBatch([thread.submit(work, client) for thread, client in together], sent, errors)

    def close(self) -> None:
        """End the threads, and close every connection."""
        for thread in self._threads:
            thread.shutdown()
        for client in self._clients:
            client.close()
