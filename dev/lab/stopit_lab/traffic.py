"""Members who write and flag without pause, whatever happens to the host, and an oracle that checks the results.

Each pair has a client, which keeps a message until the server has accepted it, as mail clients do. The oracle uses
nothing of Stopit's daemons: it notes each message that got a 250, and afterwards looks into the mailboxes and the
case record.
"""

from __future__ import annotations

import smtplib
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from email.message import EmailMessage
from types import TracebackType
from typing import Self

from stopit_lab.mailhost import MailHost
from stopit_lab.messages import message, reply
from stopit_lab.people import Cast
from stopit_lab.story import Story
from stopit_lab.waiting import until

__all__ = ["Oracle", "Traffic"]

_PAUSE = 0.1
"""Seconds between two attempts and between two messages of a client, so that four do not overload the machine."""
_PATIENCE = 120.0
_SETTLED = 180.0


@dataclass(frozen=True, slots=True)
class _Flag:
    """A flag that was accepted."""

    cast: Cast
    identity: str


@dataclass
class Oracle:
    """The replies that the clients got. `refused` counts the temporary failures."""

    flags: list[_Flag] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)

    def faults(self, site: MailHost) -> list[str]:
        """Return the faults after everything has settled; empty if there are none.

        Each accepted flag: staff have it, it is on one case, and the sender never sees it. Each sender: at most one
        notice.
        """
        found: list[str] = []
        staff = site.staff.messages()
        cases = site.cases_by_report()
        for flag in self.flags:
            copies = [copy for copy in staff if copy.header("Message-ID") == flag.identity]
            reports = {copy.header("X-Stopit-Report") for copy in copies}
            # A client that was cut off before it got its reply sends again, so staff may have that message twice.
            if len(reports) != 1:
                found.append(f"{flag.identity}: reports {sorted(reports)} in {len(copies)} copies")
                continue
            on = cases.get(reports.pop(), [])
            if len(on) != 1:
                found.append(f"{flag.identity}: on the cases {on}")
        taken = {flag.identity for flag in self.flags}
        for cast in {flag.cast for flag in self.flags}:
            found.extend(_seen_by_sender(site, cast, taken))
        return found

    def wait_until_settled(self, site: MailHost) -> None:
        """Return when every flag is on a case and nothing due is left. Raises TooLate with the faults."""
        until(lambda: site.nothing_waits() and not self.faults(site), "every flag on its case", _SETTLED)


def _seen_by_sender(site: MailHost, cast: Cast, taken: set[str]) -> list[str]:
    story = Story(site, cast)
    found = [
        f"{cast.mallory} has the flag {message.header('Message-ID')}"
        for message in site.mailbox(cast.mallory).messages()
        if message.header("Message-ID") in taken
    ]
    notices = len(story.notices())
    return found if notices <= 1 else [*found, f"{cast.mallory} has {notices} notices"]


class Traffic:
    """Clients that run during the `with` block. Leaving it waits for the messages that were begun."""

    def __init__(self, site: MailHost, casts: Sequence[Cast]) -> None:
        self.oracle = Oracle()
        self._site = site
        self._end = threading.Event()
        self._errors: list[BaseException] = []
        self._threads = [threading.Thread(target=self._work, args=(cast,), daemon=True) for cast in casts]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        with ExitStack() as stack:
            for thread in self._threads:
                stack.callback(thread.join, _PATIENCE)
        if self._errors and error is None:
            raise self._errors[0]

    def wait_for_flags(self, more: int) -> None:
        """Return when this number of further flags has been accepted. Raises the error of a client that gave up."""
        goal = len(self.oracle.flags) + more
        until(lambda: self._errors or len(self.oracle.flags) >= goal, f"{more} more flags to be taken", _PATIENCE)
        if self._errors:
            raise self._errors[0]

    def _work(self, cast: Cast) -> None:
        try:
            while not self._end.is_set():
                original = message(cast.mallory, [cast.vera], "You again", "Nobody wants you here.\n")
                self._send(original, cast.mallory, cast.vera)
                self._end.wait(_PAUSE)
                flag = reply(original, cast.vera, "stopit")
                self._send(flag, cast.vera, cast.mallory)
                self.oracle.flags.append(_Flag(cast, str(flag["Message-ID"])))
        except BaseException as error:  # noqa: BLE001  the thread's; raised where it is waited for
            self._errors.append(error)

    def _send(self, message: EmailMessage, author: str, recipient: str) -> None:
        """Try until the server accepts it. A permanent refusal is a fault, because all this mail must pass."""

        def taken() -> bool:
            try:
                said = self._site.submit(message, author, [recipient])
            except (OSError, smtplib.SMTPException) as error:
                self.oracle.refused[type(error).__name__] += 1
            else:
                if said.accepted:
                    return True
                self.oracle.refused[f"{said.step} {said.code}"] += 1
                if not said.temporary:
                    raise AssertionError(f"refused for good: {said}")
            threading.Event().wait(_PAUSE)
            return False

        until(taken, f"the server to take {message['Message-ID']}", _PATIENCE)
