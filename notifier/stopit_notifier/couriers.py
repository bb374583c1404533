"""Several connections to the MTA, on which messages go out side by side.

An MTA that has the whole of a message writes it to its disk, and asks our milter, before it answers. One connection
waits for that. With a few of them the MTA has the next messages meanwhile, and the milter writes their traces in one
go.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from stopit_core.cases import Message
from stopit_core.errors import Permanent, Transient
from stopit_notifier.mailer import Letter, Mailer, Unanswered

__all__ = ["Couriers", "End", "Flight", "attempt"]

End = bool | Exception
"""What became of an attempt: True, the MTA took it; False, it was called off; else why not (`Mailer.send`)."""


def attempt(mailer: Mailer, message: Letter, before_data: Callable[[], bool]) -> End:
    """`Mailer.send`, with what the MTA says of the message as a value."""
    try:
        return mailer.send(message, before_data)
    except (Transient, Permanent, Unanswered) as error:
        return error


class Flight:
    """A lot that is under way."""

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


class Couriers:
    """Some mailers, one thread each. `first` is for what is sent by itself; not while the others are at work."""

    def __init__(self, mailers: Sequence[Mailer]) -> None:
        self.first = mailers[0]
        self._mailers = tuple(mailers)
        self._threads = ThreadPoolExecutor(len(self._mailers), "courier")  # they start when they are needed

    def carry(self, lot: Sequence[Message], send: Callable[[Mailer, Message], End]) -> Flight:
        """Have `send` called with each message of the lot, in any order. Returns at once.

        `send` may be called by several threads. What it raises counts as how that message ended.
        """
        waiting = deque(lot)
        ended: list[tuple[Message, End]] = []

        def work(mailer: Mailer) -> None:
            while waiting:
                try:
                    message = waiting.popleft()
                except IndexError:  # another was quicker
                    return
                try:
                    end = send(mailer, message)
                except Exception as error:  # noqa: BLE001  the others have still to be written down
                    end = error
                ended.append((message, end))

        return Flight([self._threads.submit(work, mailer) for mailer in self._mailers], ended)

    def close(self) -> None:
        """End the threads, and close every connection."""
        self._threads.shutdown()
        for mailer in self._mailers:
            mailer.close()
