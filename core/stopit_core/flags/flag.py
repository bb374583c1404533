"""The values of flag recognition, and the interface of a recogniser."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from stopit_core.envelope import Envelope
from stopit_core.mail import Headers, Mail
from stopit_core.model import Channel, Command

__all__ = ["Flag", "NamedOriginal", "NotFlagged", "Recogniser"]


@dataclass(frozen=True, slots=True)
class NamedOriginal:
    """A message that a flag names, by its Message-ID without angle brackets.

    `ambiguous`: several ids stand where one is expected, and this is the first of them.
    """

    message_id: str
    ambiguous: bool = False


@dataclass(frozen=True, slots=True)
class Flag:
    """A statement of a member (at the report address, of anybody) that a message is harassing.

    `originals` is empty if none can be read from it.
    """

    channel: Channel
    command: Command
    originals: tuple[NamedOriginal, ...]


class NotFlagged(Enum):
    """The reasons why a message is no flag, each with a sentence for people."""

    AUTOMATIC = "a program wrote it (RFC 3834): Auto-Submitted, Precedence, or a null sender"
    LIST = "it came through a mailing list"
    NOT_A_MEMBER = "it was not submitted by a member, and does not go to the report address"
    NO_REPLY = "it is no reply, has no flag header, and does not go to the report address"
    NO_KEYWORD = "its first typed line is not the keyword alone, and it has no flag header that can be read"

    @property
    def sentence(self) -> str:
        """Return the reason in plain words: "Not a flag: ..."."""
        return f"Not a flag: {self.value}."


class Recogniser(Protocol):
    """One way in which a message can be a flag. Pure; called for every message, from any thread.

    Registered under the entry-point group `stopit.flags` as a factory that takes a `FlagRules`.
    """

    def wants(self, envelope: Envelope, headers: Headers) -> bool:
        """Return whether this may be a flag, so that the body must be read. Called at end of headers."""

    def recognise(self, envelope: Envelope, mail: Mail) -> Flag | None:
        """Return the flag, or None. Called at end of message, only if `wants` returned True."""
