"""The player does what the lines of a dialog say, on a real site. It stops at the first that does not come true.

Every message that Stopit sends is checked, also where no line asks for it: a notice tells nothing of anyone but its
reader and quotes nothing that a person wrote; an acknowledgement begins with what to do in danger.

A line about what is not sent can be checked only after all that is due has been sent. The caller gives a way to wait
for that (`settle`). The player uses it once for all such lines that follow each other.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

from stopit_lab.dialog.failure import DialogFailed, Unmet, show_failure, show_message
from stopit_lab.dialog.inspection import Inspector
from stopit_lab.dialog.post import Post
from stopit_lab.dialog.received import case_number, is_copy_of, is_delivery_of, kind_of
from stopit_lab.dialog.steps import (
    Dialog,
    Forward,
    Get,
    GetNot,
    Grow,
    Kind,
    NobodyMore,
    Reply,
    Send,
    SendAgain,
    SendFile,
    SendStep,
    Settle,
    Step,
    Wait,
    Wanted,
)
from stopit_lab.dialog.words import READERS, address
from stopit_lab.mailbox import Received
from stopit_lab.people import Cast
from stopit_lab.site import Site
from stopit_lab.waiting import PATIENCE, TooLate, until

__all__ = ["DialogFailed", "Player"]


class Player:
    """Plays dialogs at one site with one cast. `files` is where the messages that dialogs name are.

    `settle` returns when all that was due at the site has been sent and delivered. `patience` is in seconds.
    """

    def __init__(
        self, site: Site, cast: Cast, settle: Callable[[], None], files: Path, patience: float = PATIENCE
    ) -> None:
        self._site = site
        self._post = Post(site, cast, files)
        self._inspector = Inspector(self._post)
        self._settle = settle
        self._patience = patience
        self._settled = False
        self._before = {reader: len(self._post.mailbox(reader).messages()) for reader in READERS}
        self._named: dict[str, dict[bytes, int]] = {reader: {} for reader in READERS}
        self._metrics: dict[int, float] = {}

    def play(self, dialog: Dialog) -> None:
        """Play it. Raises DialogFailed."""
        step = dialog.steps[0]
        try:
            self._metrics = {one.line: self._metric(one) for one in dialog.steps if isinstance(one, Grow)}
            for step in dialog.steps:
                self._do(step)
            self._check_service_mail()
        except Unmet as unmet:
            unmet.line = unmet.line or step.line
            raise DialogFailed(show_failure(dialog, self._where(), unmet)) from None
        except (AssertionError, RuntimeError, OSError) as error:
            raise DialogFailed(
                show_failure(dialog, self._where(), Unmet("no error", str(error), step.line))
            ) from error

    def _where(self) -> str:
        return f"on a site with {self._site.stores.value} stores"

    def _do(self, step: Step) -> None:
        match step:
            case Send() | SendFile() | SendAgain() | Reply() | Forward():
                self._settled = False
                self._send(step)
            case Get():
                for reader in step.readers:
                    for wanted in step.wanted:
                        self._get(step, reader, wanted)
            case GetNot():
                self._wait_until_settled()
                for reader in step.readers:
                    for wanted in step.wanted:
                        self._get_not(reader, wanted)
            case NobodyMore():
                self._wait_until_settled()
                for reader in READERS:
                    self._get_not(reader, Wanted(Kind.ANYTHING))
            case Settle():
                self._wait_until_settled()
            case Wait():
                self._settled = False
                time.sleep(step.seconds)
            case Grow():
                self._grow(step)

    def _wait_until_settled(self) -> None:
        if not self._settled:
            self._settle()
            self._settled = True

    def _send(self, step: SendStep) -> None:
        match step:
            case Send():
                self._post.write(step)
            case SendFile():
                self._post.send_file(step)
            case SendAgain():
                self._post.send_again(step)
            case Reply():
                self._post.reply(step)
            case Forward():
                self._post.forward(step)

    # What is got.

    def _unnamed(self, reader: str) -> list[Received]:
        """Return what no line has named in a reader's mailbox. Staff's holds mail of other dialogs too."""
        messages = self._post.mailbox(reader).messages()[self._before[reader] :]
        return [
            message
            for message in messages
            if message.raw not in self._named[reader] and (reader != "staff" or self._is_ours(message))
        ]

    def _is_ours(self, message: Received) -> bool:
        """Return whether a message to staff is about this dialog: it names somebody of the cast, or the case."""
        cast = self._post.cast
        return f"-{cast.number}@" in message or bool(self._post.case and self._post.case in message)

    def _is(self, message: Received, reader: str, wanted: Wanted) -> bool:
        if wanted.word and self._post.fill_in(wanted.word) not in message:
            return False
        match wanted.kind:
            case Kind.ANYTHING:
                return True
            case Kind.MESSAGE:
                sent = self._post.find_sent(wanted.message)
                return is_delivery_of(message, sent) and kind_of(message, reader == "staff") is not Kind.COPY
            case Kind.COPY:
                return is_copy_of(message, self._post.find_sent(wanted.message))
            case _:
                return kind_of(message, reader == "staff") is wanted.kind

    def _get(self, step: Get, reader: str, wanted: Wanted) -> None:
        def have() -> Received | None:
            found = (message for message in self._unnamed(reader) if self._is(message, reader, wanted))
            return next(found, None)

        try:
            message = until(have, f"{wanted} for {reader}", self._patience)
        except TooLate:
            expected = f"{reader} gets: {wanted}, within {self._patience:g} s"
            raise Unmet(expected, self._show(reader), step.line) from None
        self._named[reader][message.raw] = step.line
        if wanted.kind is Kind.MESSAGE:
            self._wait_for_traces(wanted.message)
        else:
            self._post.name(f"{reader}'s {wanted.kind}", message)
            self._post.name(f"the {wanted.kind}", message)
            self._post.case = case_number(message) or self._post.case
        self._inspector.check_service_message(reader, message, step.line)
        for check in step.checks:
            self._inspector.check(reader, message, check, wanted)

    def _wait_for_traces(self, name: str) -> None:
        """Return when the ledger knows each message of this Message-ID; a reply that comes first finds too few."""
        sent = self._post.find_sent(name)
        passes = sum(1 for one in self._post.sent if one.queue_id and one.message_id == sent.message_id)
        if passes > 1 and sent.message_id:
            self._site.wait_until_traced(sent.message, passes)

    def _get_not(self, reader: str, wanted: Wanted) -> None:
        for message in self._unnamed(reader):
            if self._is_forbidden(message, reader, wanted):
                instead = "\n".join([f"{reader} has it.", self._show(reader)])
                more = "anything that no line has named" if wanted.kind is Kind.ANYTHING else str(wanted)
                raise Unmet(f"{reader} does not get: {more}", instead)

    def _is_forbidden(self, message: Received, reader: str, wanted: Wanted) -> bool:
        """Return whether a message is what nobody may get: a person's message in any form, also as a copy."""
        if wanted.kind is Kind.MESSAGE:
            sent = self._post.find_sent(wanted.message)
            return is_delivery_of(message, sent) or (bool(sent.message_id) and sent.message_id in message)
        return self._is(message, reader, wanted)

    def _show(self, reader: str) -> str:
        """Return what is in a reader's mailbox, for people."""
        named = self._named[reader]
        messages = self._post.mailbox(reader).messages()[self._before[reader] :]
        shown = [message for message in messages if reader != "staff" or self._is_ours(message)]
        where = f"the mailbox of {reader} ({address(self._post.cast, reader)})"
        if not shown:
            return f"{where} is empty"
        lines = [f"in {where}:"]
        for number, message in enumerate(shown, 1):
            line = named.get(message.raw)
            state = f"got in line {line}" if line else "named by no line"
            what = f"{self._describe(message, reader)}, {state}"
            lines += show_message(number, message, what, whole=line is None)
        return "\n".join(lines)

    def _describe(self, message: Received, reader: str) -> str:
        for sent in self._post.sent:
            if is_copy_of(message, sent):
                return f"copy of {self._post.reference(sent)} (line {sent.line})"
            if is_delivery_of(message, sent):
                return f"{self._post.reference(sent)} (line {sent.line})"
        kind = kind_of(message, reader == "staff")
        return f"{kind} from Stopit" if kind is not Kind.MESSAGE else "a message"

    def _check_service_mail(self) -> None:
        for reader in READERS:
            for message in self._post.mailbox(reader).messages()[self._before[reader] :]:
                self._inspector.check_service_message(reader, message, 0)

    # What is counted.

    def _metric(self, step: Grow) -> float:
        found = [
            value
            for metrics in (self._site.notifier_metrics(), self._site.milter_metrics())
            for name, labels, value in metrics.series()
            if name == step.metric and step.labels.items() <= labels.items()
        ]
        if not found:
            raise Unmet(f"a metric {step.metric} with these labels", "neither daemon has one", step.line)
        return sum(found)

    def _grow(self, step: Grow) -> None:
        if step.by == 0:
            self._wait_until_settled()

        def grown() -> float:
            return self._metric(step) - self._metrics[step.line]

        with contextlib.suppress(TooLate):
            until(lambda: grown() >= step.by, step.metric, self._patience)
        if grown() != step.by:
            raise Unmet(f"{step.metric} grows by {step.by}", f"it grew by {grown():g}")
