"""Checks of a message that was got: those that a line asks for, and those that every dialog makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from stopit_lab.dialog.failure import Unmet
from stopit_lab.dialog.post import Post
from stopit_lab.dialog.received import case_number, kind_of, leaks
from stopit_lab.dialog.steps import Check, CheckKind, Item, Kind, Wanted
from stopit_lab.dialog.words import READERS, address
from stopit_lab.mailbox import Received
from stopit_lab.people import login_of
from stopit_lab.site import EMERGENCY
from stopit_lab.waiting import TooLate, until

__all__ = ["Inspector"]

_LONG_ID = 6
"""Letters that the local part of a Message-ID must have to be looked for by itself."""
_CASE_PATIENCE = 5.0
"""Seconds within which the case record says what it has to say."""


class Inspector:
    """Checks messages of one dialog. Each check raises Unmet."""

    def __init__(self, post: Post) -> None:
        self._post = post

    def check(self, reader: str, message: Received, check: Check, wanted: Wanted) -> None:
        """Make the check that a line asks for."""

        def unmet(expected: str) -> Unmet:
            return Unmet(f"{wanted} {expected}", self._show_whole(reader, message), check.line)

        match check.kind:
            case CheckKind.HAS:
                for item in check.items:
                    if not any(words in message for words in self._spellings(item)):
                        raise unmet(f'has "{self._post.fill_in(item.words)}"')
            case CheckKind.HAS_NOT:
                for item in check.items:
                    if any(words in message for words in self._spellings(item)):
                        raise unmet(f'does not have "{self._post.fill_in(item.words)}"')
            case CheckKind.BEGINS:
                words = self._post.fill_in(check.items[0].words)
                if not message.text.lstrip().startswith(words):
                    raise unmet(f'begins with "{words}"')
            case CheckKind.HEADER:
                self._check_header(message, check, unmet)
            case CheckKind.WITHOUT:
                for item in check.items:
                    if item.words in message.message:
                        raise unmet(f"has no header {item.words}")
            case CheckKind.TEXT:
                words = self._post.fill_in(check.items[0].words)
                if message.text.strip() != words.strip():
                    raise unmet(f"has exactly the text of line {check.line} and the lines below")
            case CheckKind.AS_SENT:
                self._check_as_sent(reader, message, check, wanted)
            case CheckKind.CASE:
                self._check_case(message, check)

    def _check_as_sent(self, reader: str, message: Received, check: Check, wanted: Wanted) -> None:
        """Compare the octets below the mail server's own header lines, which come first."""
        sent = self._post.find_sent(wanted.message).raw.replace(b"\r\n", b"\n").rstrip(b"\n")
        if not message.raw.rstrip(b"\n").endswith(sent):
            raw = message.raw.decode("utf-8", "replace")
            instead = f"{reader} has:\n{raw}\nwhat was sent:\n{sent.decode('utf-8', 'replace')}"
            raise Unmet(f"{wanted} is as it was sent, octet by octet", instead, check.line)

    def _check_header(self, message: Received, check: Check, unmet: Callable[[str], Unmet]) -> None:
        """`*` in a header's value stands for any letters."""
        pattern = self._post.fill_in(check.items[0].words)
        value = message.header(check.name)
        place, parts = 0, pattern.split("*")
        for part in parts:
            found = value.find(part, place)
            if check.name not in message.message or found < 0:
                raise unmet(f"has {check.name}: {pattern}")
            place = found + len(part)
        if not (value.startswith(parts[0]) and value.endswith(parts[-1])):
            raise unmet(f"has {check.name}: {pattern}")

    def _check_case(self, message: Received, check: Check) -> None:
        """Look the case up with stopitctl. It may be written a moment after the message has left."""
        number = case_number(message)
        if not number:
            raise Unmet("a message that tells the number of its case", message.text, check.line)
        wanted = [words for item in check.items for words in self._spellings(item)[:1]]
        shown = partial(self._post.site.ctl, "cases", "show", number, "--addresses")
        try:
            until(lambda: all(words in shown() for words in wanted), "the case", _CASE_PATIENCE)
        except TooLate:
            missing = ", ".join(words for words in wanted if words not in shown())
            raise Unmet(f"case {number} has: {missing}", shown(), check.line) from None

    def _spellings(self, item: Item) -> list[str]:
        """Return the strings that stand for an item: the address of a person, and the login."""
        if not item.person:
            return [self._post.fill_in(item.words)]
        found = address(self._post.cast, item.words)
        return [found, login_of(found)] if self._post.cast.number else [found]

    def _show_whole(self, reader: str, message: Received) -> str:
        head = "".join(f"{name}: {value}\n" for name, value in message.message.items())
        return f"{reader} has:\n{head}\n{message.text}"

    def check_service_message(self, reader: str, message: Received, line: int) -> None:
        """Check what holds for each message of Stopit's, in every dialog."""
        kind = kind_of(message, reader == "staff")
        if kind is Kind.ACKNOWLEDGEMENT and not message.text.lstrip().startswith("\n".join(EMERGENCY)):
            expected = "an acknowledgement that begins with what to do in danger (checked in every dialog)"
            raise Unmet(expected, self._show_whole(reader, message), line)
        if kind is not Kind.NOTICE:
            return
        account = address(self._post.cast, reader)
        texts = [text for sent in self._post.sent for text in sent.written]
        found = leaks(message, account, self._secrets(reader), texts)
        if found:
            expected = "a notice that tells nothing of anyone else and quotes nothing (checked in every dialog)"
            raise Unmet(expected, f"it tells: {', '.join(found)}\n{self._show_whole(reader, message)}", line)

    def _secrets(self, reader: str) -> Iterator[str]:
        """Yield what a notice must not tell: the others, Message-IDs, and queue ids of what was sent."""
        cast = self._post.cast
        for other in (name for name in READERS if name not in (reader, "staff")):
            yield address(cast, other)
            if cast.number:  # "eve" is in "never"
                yield login_of(address(cast, other))
        for sent in self._post.sent:
            identity = sent.message_id.strip("<>")
            local = identity.partition("@")[0]
            yield from filter(None, (local if len(local) >= _LONG_ID else identity, sent.queue_id))
