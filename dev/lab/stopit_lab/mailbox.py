"""A member's mailbox: the Maildir that Postfix's virtual(8) delivers to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cached_property
from pathlib import Path

from stopit_lab.waiting import PATIENCE, until

__all__ = ["Mailbox", "Received"]


@dataclass(frozen=True)
class Received:
    """A delivered message: the bytes of the file, with the header fields that the MTA added."""

    raw: bytes

    @cached_property
    def message(self) -> EmailMessage:
        """The parsed message."""
        return message_from_bytes(self.raw, policy=policy.default)

    @property
    def subject(self) -> str:
        return str(self.message["Subject"] or "")

    @property
    def text(self) -> str:
        """The plain text that a reader sees, with flowed lines joined (RFC 3676), or ""."""
        body = self.message.get_body(("plain",))
        if body is None:
            return ""
        content = str(body.get_content())
        return content.replace(" \n", " ") if body.get_param("format") == "flowed" else content

    def header(self, name: str) -> str:
        """Return the unfolded value of a header field, or ""."""
        value = self.message.get(name)
        return "" if value is None else str(value)

    def __contains__(self, words: str) -> bool:
        """Return whether these words occur in the message, raw or decoded, in upper or lower case."""
        decoded = [str(part.get_content()) for part in self.message.walk() if part.get_content_maintype() == "text"]
        shown = [*decoded, *(str(value) for value in self.message.values()), self.raw.decode("utf-8", "replace")]
        return any(words.casefold() in text.casefold() for text in shown)


class Mailbox:
    """The mailbox of one address. `directory` is its Maildir, which the first delivery creates."""

    def __init__(self, address: str, directory: Path) -> None:
        self.address = address
        self.directory = directory

    def messages(self) -> list[Received]:
        """Return all messages, the earliest first."""
        files = [*self.directory.glob("new/*"), *self.directory.glob("cur/*")]
        return [Received(file.read_bytes()) for file in sorted(files, key=lambda file: file.stat().st_mtime_ns)]

    def matching(self, wanted: Callable[[Received], bool]) -> list[Received]:
        """Return the messages for which `wanted` holds."""
        return [message for message in self.messages() if wanted(message)]

    def wait_for(self, wanted: Callable[[Received], bool], what: str, timeout: float = PATIENCE) -> Received:
        """Wait for a message for which `wanted` holds, and return the first. Raises TooLate."""

        def have() -> Received | None:
            return next(iter(self.matching(wanted)), None)

        return until(have, f"{what} in the mailbox of {self.address}", timeout)
