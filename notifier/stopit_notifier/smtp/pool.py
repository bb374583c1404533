"""Several connections to the MTA, on which messages go out side by side.

An MTA that has the whole of a message writes it to its disk, and asks our milter, before it answers. One connection
waits for that. With a few of them the MTA has the next messages meanwhile, and the milter writes their traces in one
go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from stopit_core.cases import Message
from stopit_core.errors import Permanent, Transient
from stopit_notifier.smtp.client import End, SmtpClient, SmtpMessage, Unanswered

__all__ = ["ConnectionPool", "InFlightBatch", "attempt"]


def attempt(client: SmtpClient, message: SmtpMessage, before_data: Callable[[], bool]) -> End:
    """`SmtpClient.send`, with what the MTA says of the message as a value."""
    try:
        return client.send(message, before_data)
    except (Transient, Permanent, Unanswered) as error:
        return error


class InFlightBatch:
    """A batch that is under way."""

    def __init__(self, work: Sequence[Future[None]], ended: list[tuple[Message, End]]) -> None:
        self._work = work
        self._ended = ended

    @property
    def over(self) -> bool:
        """Whether each message has ended."""
        return all(work.done() for work in self._work)

    def ends(self) -> list[tuple[Message, End]]:
        """How each message ended, when all have."""
        for work in self._work:
            work.result()
        return self._ended


class ConnectionPool:
    """Some clients, one thread each. `first` is for what is sent by itself; not while the others are at work."""

    def __init__(self, clients: Sequence[SmtpClient]) -> None:
        self.first = clients[0]
        self._clients = tuple(clients)
        # A client is for one thread, so each has one, which takes batch after batch. They start when they are needed.
        self._threads = tuple(ThreadPoolExecutor(1, "smtp") for _ in self._clients)

    def submit(
        self, batch: Sequence[Message], send: Callable[[SmtpClient, Iterator[Message]], Iterator[tuple[Message, End]]]
    ) -> InFlightBatch:
        """Have the messages of the batch sent, in any order. Returns at once.

        `send` is called by several threads; each takes from the same messages as it gets ahead. What it raises counts
        as how those ended that it has in hand.
        """
        waiting = deque(batch)
        ended: list[tuple[Message, End]] = []

        def share(in_hand: dict[int, Message]) -> Iterator[Message]:
            while waiting:
                try:
                    message = waiting.popleft()
                except IndexError:  # another was quicker
                    return
                in_hand[message.id] = message
                yield message

        def work(client: SmtpClient) -> None:
            while waiting:
                in_hand: dict[int, Message] = {}
                try:
                    for message, end in send(client, share(in_hand)):
                        del in_hand[message.id]
                        ended.append((message, end))
                except Exception as error:  # noqa: BLE001  the others have still to be written down
                    ended.extend((message, error) for message in in_hand.values())

        together = zip(self._threads, self._clients, strict=True)
        return InFlightBatch([thread.submit(work, client) for thread, client in together], ended)

    def close(self) -> None:
        """End the threads, and close every connection."""
        for thread in self._threads:
            thread.shutdown()
        for client in self._clients:
            client.close()
