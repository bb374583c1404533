"""The errors that modules raise to each other, classified by what the caller should do.

`ConfigError`: a person must correct a file. `DecodeError`: the bytes will never be readable, so set them aside.
`Transient`: the same call may work later, so retry. `Permanent`: it will not work, so give up and report it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["ConfigError", "DecodeError", "Fault", "NotAllowed", "Permanent", "StopitError", "Transient"]


class StopitError(Exception):
    """Base class of all errors of Stopit."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One mistake in a file that a person wrote: where it is, the value there, and how to correct it."""

    file: str
    key: str
    value: str
    advice: str

    def __str__(self) -> str:
        where = ": ".join(part for part in (self.file, self.key) if part)
        shown = f" = {self.value}" if self.value else ""
        return f"{where}{shown}: {self.advice}"


class ConfigError(StopitError):
    """A configuration, key, alias file or template cannot be used. Holds every fault found, not only the first."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class DecodeError(StopitError):
    """Bytes from a store are not a report or trace that this version can read."""


class Transient(StopitError):
    """A store or server cannot be used now; the same call may succeed later."""


class NotAllowed(Transient):
    """A store denies its user this operation; the same call may succeed when its administrator changes that."""


class Permanent(StopitError):
    """A server refused permanently (an SMTP 5yz reply, RFC 5321 section 4.2.1)."""
