"""What the service manager asks for by signals: to end (SIGTERM, SIGINT), to read the configuration again (SIGHUP).

A handler only makes a note of it, and the work in hand is finished first.
"""

from __future__ import annotations

import signal
from types import FrameType

__all__ = ["Signals"]


class Signals:
    """The signals that came. Only the main thread may `listen`."""

    def __init__(self) -> None:
        self._ending = False
        self._reload = False

    def listen(self) -> None:
        """Take note of signals from now on."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self.note)

    def note(self, number: int, _frame: FrameType | None = None) -> None:
        """A signal came."""
        if number == signal.SIGHUP:
            self._reload = True
        else:
            self._ending = True

    @property
    def ending(self) -> bool:
        """Whether the program is to end."""
        return self._ending

    def reload_asked(self) -> bool:
        """Whether a reload was asked for since the last call."""
        asked, self._reload = self._reload, False
        return asked
