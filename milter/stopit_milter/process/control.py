"""A line between the parent and one child: the child tells that it lives, the parent gives orders.

One byte a message. When the line breaks, the other side is dead: so no child outlives the parent, and the kernel
tells, whatever killed it. Everyone else must close their copies of the parent's ends after a fork.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
import traceback
from collections.abc import Callable, Iterable
from enum import Enum

__all__ = ["BEAT_SECONDS", "ChildControl", "ChildStatus", "ControlMessage", "ParentControl", "fork"]

BEAT_SECONDS = 5.0
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
"""What the parent handles, and a child does not."""
_SOFTWARE_FAULT = 70  # EX_SOFTWARE of sysexits.h


class ControlMessage(Enum):
    """What the parent says. WORKER_ENDED is no more than news, for the one that counts."""

    RELOAD = b"r"
    RELOAD_REFUSED = b"x"
    DRAIN = b"q"
    WORKER_ENDED = b"e"


class ChildStatus(Enum):
    """What a child says. READY also when an order was carried out; RESTART_DUE when another should take its place."""

    READY = b"R"
    ALIVE = b"."
    RESTART_DUE = b"d"


class ChildControl:
    """The child's end."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def report(self, word: ChildStatus) -> None:
        """Tell the parent. Nothing when it is gone: `listen` sees that."""
        try:
            self._end.send(word.value, socket.MSG_DONTWAIT)
        except OSError:
            return

    def listen(self, handle: Callable[[ControlMessage], None]) -> None:
        """Beat, and carry out orders, until the parent is gone."""
        beat_at = time.monotonic()
        while True:
            wait = beat_at - time.monotonic()
            if wait <= 0:
                self.report(ChildStatus.ALIVE)
                beat_at = time.monotonic() + BEAT_SECONDS
                continue
            readable, _, _ = select.select([self._end], [], [], wait)
            if not readable:
                continue
            given = self._end.recv(1)
            if not given:
                return
            handle(ControlMessage(given))
            self.report(ChildStatus.READY)


class ParentControl:
    """The parent's end. `pid` is the child's."""

    def __init__(self, pid: int, end: socket.socket) -> None:
        self.pid = pid
        self.end = end
        end.setblocking(False)

    def send(self, message: ControlMessage) -> None:
        """Give an order. Nothing when the child is gone: it is started again with the configuration in force."""
        try:
            self.end.send(message.value)
        except OSError:
            return

    def statuses(self) -> list[ChildStatus]:
        """What the child has said since; [] also when it is gone."""
        try:
            return [ChildStatus(bytes([each])) for each in self.end.recv(256)]
        except OSError:
            return []

    def close(self) -> None:
        """Hang up."""
        self.end.close()


def fork(run: Callable[[ChildControl], int], others: Iterable[ParentControl]) -> ParentControl:
    """A child that runs `run` and ends with what that returns. The caller must have no other thread.

    `others` are the lines that the parent holds to other children.
    """
    ours, theirs = socket.socketpair()
    # No signal may come to the child while it still has the parent's handlers.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    pid = os.fork()
    if pid:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        return ParentControl(pid, ours)
    code = _SOFTWARE_FAULT
    try:
        signal.set_wakeup_fd(-1)
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        ours.close()
        for other in others:
            other.close()
        code = run(ChildControl(theirs))
    except BaseException:  # noqa: BLE001  the parent's frames must never run on in the child
        traceback.print_exc()
    finally:
        os._exit(code)
