"""Letters one behind the other on one connection: each is one write, and the answers are read as they come.

With PIPELINING (RFC 2920) and CHUNKING (RFC 3030) a letter needs no word of the server before it goes out:

    RSET, MAIL, RCPT, BDAT n LAST, and n octets

So the next ones are on their way while the server writes the first to its disk, and neither side waits for the
other. RSET is there because a refused BDAT leaves open what the server still remembers (RFC 3030 section 2): no
recipient of one letter can become one of the next.

Nobody can be asked between RCPT and the message, and a connection that breaks leaves a few letters of which nobody
knows (`Unanswered`). So this is for acknowledgements and alerts, which do no harm when they come twice; a notice is
never sent so. To a server that has not both extensions each letter goes by itself (`Mailer.send`).
"""

from __future__ import annotations

import smtplib
from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from stopit_core.errors import Transient
from stopit_notifier.smtp.client import End, Letter, Mailer
from stopit_notifier.smtp.connection import Dialog
from stopit_notifier.smtp.pool import attempt

__all__ = ["Streaming"]

_AHEAD = 4
"""So many letters are on their way at once: enough that the server never waits, few that a crash leaves in doubt."""

L = TypeVar("L", bound=Letter)


class Streaming(Generic[L]):
    """Sends many letters through one mailer.

    `check` raises what forbids a letter. `in_time` is asked right before each goes out: whether it still may.
    """

    def __init__(self, mailer: Mailer, check: Callable[[L], None], in_time: Callable[[], bool]) -> None:
        self._mailer = mailer
        self._check = check
        self._in_time = in_time
        self._dialog: Dialog | None = None
        self._under_way: deque[tuple[L, Dialog]] = deque()

    def send(self, letters: Iterator[L]) -> Iterator[tuple[L, End]]:
        """Send these, and what became of each (`couriers.End`), not always in their order."""
        try:
            for letter in letters:
                if (end := self._set_out(letter)) is not None:
                    yield letter, end
                if len(self._under_way) == _AHEAD:
                    yield self._landed()
            while self._under_way:
                yield self._landed()
        except BaseException:
            self._mailer.close()  # it has heard only a part
            for _, dialog in self._under_way:
                dialog.close()
            raise

    def _set_out(self, letter: L) -> End | None:
        """Write a letter; None when it is under way, else what became of it."""
        try:
            self._check(letter)
        except Exception as error:  # noqa: BLE001  the others have still to be sent
            return error
        if not self._in_time():
            return False
        try:
            dialog = self._dialog or self._mailer.ready()
        except Transient as error:
            return error
        if not dialog.streams:
            return attempt(self._mailer, letter, self._in_time)
        self._dialog = dialog
        try:
            if not self._mailer.write(dialog, letter, self._in_time):
                return False
        except (smtplib.SMTPException, OSError) as error:  # not all of it went out, so it cannot be taken
            self._lose()
            return Transient(f"{self._mailer.name}: {error}")
        except ValueError as error:  # it cannot be said in SMTP; nothing of it went out
            return error
        self._under_way.append((letter, dialog))
        return None

    def _landed(self) -> tuple[L, End]:
        """What became of the letter that is under way for longest."""
        letter, dialog = self._under_way.popleft()
        try:
            end = self._mailer.heard(dialog)
        except (smtplib.SMTPException, OSError) as error:
            if dialog is self._dialog:
                self._lose()
            return letter, self._mailer.unanswered(dialog, error)
        if isinstance(end, Transient) and dialog is self._dialog:  # it may be so for this connection alone
            self._dialog = None
            self._mailer.part()
        if dialog is not self._dialog and all(other is not dialog for _, other in self._under_way):
            dialog.close()
        return letter, end

    def _lose(self) -> None:
        """Close the connection; letters that are still under way on it get no answer."""
        self._dialog = None
        self._mailer.close()
