"""The values that a dialog is parsed into: its head, and one step for each sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any, TypeAlias

from stopit_lab.messages import Style
from stopit_lab.site import Stores

__all__ = [
    "Check",
    "CheckKind",
    "Dialog",
    "Forward",
    "Get",
    "GetNot",
    "Grow",
    "Item",
    "Kind",
    "NobodyMore",
    "Outcome",
    "Reply",
    "Send",
    "SendAgain",
    "SendFile",
    "SendStep",
    "Sending",
    "Settle",
    "Step",
    "Wait",
    "Wanted",
]


class Outcome(StrEnum):
    """The reply of the MTA to a message. The value is the line that expects it."""

    ACCEPTED = "is accepted"
    REFUSED = "is refused"
    PUT_OFF = "is put off"


class Kind(StrEnum):
    """Kinds of messages that a reader can get. MESSAGE: one that a person sent; ANYTHING: any that no line named."""

    NOTICE = "notice"
    ACKNOWLEDGEMENT = "acknowledgement"
    ALERT = "alert"
    COPY = "copy"
    MESSAGE = "message"
    ANYTHING = "anything"


class CheckKind(Enum):
    """Statements of an indented line below `gets` about the message."""

    HAS = "has"
    HAS_NOT = "does not have"
    BEGINS = "begins with"
    HEADER = "header"
    WITHOUT = "without"
    TEXT = "text"
    AS_SENT = "is as it was sent"
    CASE = "case has"


@dataclass(frozen=True, slots=True)
class Item:
    """Words to look for. `person`: the name of a person, who is named by address or by login."""

    words: str
    person: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """One check of a message that was got. `name` is the header's, where it is about one."""

    line: int
    kind: CheckKind
    items: tuple[Item, ...] = ()
    name: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A message that is expected or excluded. `message` names it, or the original of a copy; it has `word` in it."""

    kind: Kind
    message: str = ""
    word: str = ""

    def __str__(self) -> str:
        names = {Kind.MESSAGE: self.message, Kind.COPY: f"copy of {self.message}"}
        return names.get(self.kind, self.kind.value) + (f' with "{self.word}"' if self.word else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """How a message is sent, as the indented lines say.

    `headers` are set, `without` are left out. `login` is None where the author's own is used, and "" where there is
    none. `envelope_to` is empty where the recipients of the message are the envelope's.
    """

    headers: tuple[tuple[str, str], ...] = ()
    without: tuple[str, ...] = ()
    text: str | None = None
    style: Style = Style.TOP
    envelope_from: str | None = None
    envelope_to: tuple[str, ...] = ()
    login: str | None = None
    client_address: str = ""
    outside: bool = False
    called: str = ""
    outcome: Outcome = Outcome.ACCEPTED
    said: str = ""


@dataclass(frozen=True, slots=True)
class Send:
    """A person writes a message."""

    line: int
    author: str
    to: tuple[str, ...]
    sending: Sending


@dataclass(frozen=True, slots=True)
class SendFile:
    """A person sends a message that is in a file. `to` is empty where its To, Cc and Bcc name the recipients."""

    line: int
    author: str
    file: str
    to: tuple[str, ...]
    sending: Sending


@dataclass(frozen=True, slots=True)
class SendAgain:
    """A person's client sends the same octets again."""

    line: int
    author: str
    message: str
    sending: Sending


@dataclass(frozen=True, slots=True)
class Reply:
    """A person replies to a message. `noun` is what later lines call it: "reply" or "answer"."""

    line: int
    author: str
    message: str
    noun: str
    sending: Sending


@dataclass(frozen=True, slots=True)
class Forward:
    """A person forwards messages as attachments."""

    line: int
    author: str
    messages: tuple[str, ...]
    to: tuple[str, ...]
    sending: Sending


@dataclass(frozen=True, slots=True)
class Get:
    """Each reader gets each of these."""

    line: int
    readers: tuple[str, ...]
    wanted: tuple[Wanted, ...]
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class GetNot:
    """No reader gets any of these."""

    line: int
    readers: tuple[str, ...]
    wanted: tuple[Wanted, ...]


@dataclass(frozen=True, slots=True)
class NobodyMore:
    """No mailbox holds a message that no line has named."""

    line: int


@dataclass(frozen=True, slots=True)
class Settle:
    """All that is due is sent and delivered before the next line."""

    line: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Time passes."""

    line: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Grow:
    """A metric, summed over the series with these labels, grows by this much from the beginning of the dialog."""

    line: int
    metric: str
    labels: Mapping[str, str]
    by: int


SendStep: TypeAlias = Send | SendFile | SendAgain | Reply | Forward
Step: TypeAlias = SendStep | Get | GetNot | NobodyMore | Settle | Wait | Grow


@dataclass(frozen=True, slots=True)
class Dialog:
    """One dialog. `name` is shown in errors; `values` are settings of the site, as `Site` takes them."""

    name: str
    text: str
    stores: tuple[Stores, ...]
    steps: tuple[Step, ...]
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
