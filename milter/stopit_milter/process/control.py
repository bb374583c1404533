"""The control pipe between the parent and one child: the child reports its status, the parent sends messages.

A message is one byte. When the pipe breaks, the other side is dead; the kernel closes it however that process ended,
so no child outlives the parent. Every other child must close its copies of the parent's ends after a fork.
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

__all__ = ["SIGNALS", "WAKE", "ChildControl", "ChildStatus", "ControlMessage", "ParentControl", "fork"]

_ALIVE_SECONDS = 5.0
"""Interval of a child's status ALIVE, in seconds."""
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
"""Signals that the parent handles and a child does not."""
WAKE = signal.SIGUSR1
"""Interrupts the main thread of a worker that is told to stop: libmilter looks for that only every 5 seconds."""
_SOFTWARE_FAULT = 70  # EX_SOFTWARE of sysexits.h


class ControlMessage(Enum):
    """A message of the parent. WORKER_ENDED asks for nothing; the child that serves the metrics counts it."""

    RELOAD = b"r"
    RELOAD_REFUSED = b"x"
    DRAIN = b"q"
    WORKER_ENDED = b"e"


class ChildStatus(Enum):
    """A status of a child. READY: it started, or did what a message asked. RESTART_DUE: a successor should start."""

    READY = b"R"
    ALIVE = b"."
    RESTART_DUE = b"d"


class ChildControl:
    """The child's end of a control pipe."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def report(self, status: ChildStatus) -> None:
        """Send a status to the parent. Does nothing when the parent is gone: `listen` finds that out."""
        try:
            self._end.send(status.value, socket.MSG_DONTWAIT)
        except OSError:
            return

    def listen(self, handle: Callable[[ControlMessage], None]) -> None:
        """Report ALIVE at intervals and pass messages to `handle`, until the parent is gone."""
        alive_at = time.monotonic()
        while True:
            wait = alive_at - time.monotonic()
            if wait <= 0:
                self.report(ChildStatus.ALIVE)
                alive_at = time.monotonic() + _ALIVE_SECONDS
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
    """The parent's end of a control pipe. `pid` is the child's."""

    def __init__(self, pid: int, end: socket.socket) -> None:
        self.pid = pid
        self.end = end
        end.setblocking(False)

    def send(self, message: ControlMessage) -> None:
        """Send a message to the child. Does nothing when it is gone: the next starts with the current settings."""
        try:
            self.end.send(message.value)
        except OSError:
            return

    def statuses(self) -> list[ChildStatus]:
        """Return the statuses that arrived since the last call; [] also when the child is gone."""
        try:
            return [ChildStatus(bytes([each])) for each in self.end.recv(256)]
        except OSError:
            return []

    def close(self) -> None:
        """Close this end."""
        self.end.close()


def fork(run: Callable[[ChildControl], int], others: Iterable[ParentControl]) -> ParentControl:
    """Fork a child that exits with what `run` returns. The caller must have no other thread.

    `others` are the control pipes of the parent to other children.
    """
    ours, theirs = socket.socketpair()
    # The child must get no signal while it still has the parent's handlers.
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
    except BaseException:  # noqa: BLE001  the child must never return into the parent's frames
        traceback.print_exc()
    finally:
        os._exit(code)
