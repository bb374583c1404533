"""The errors that cross a module's border, by what the reader of them is to do.

`ConfigError`: a person mends a file. `DecodeError`: the bytes will never be readable, so set them aside.
`Transient`: the same call may work later, so try again. `Permanent`: it will not, so give up and say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["ConfigError", "DecodeError", "Fault", "NotAllowed", "Permanent", "StopitError", "Transient"]


class StopitError(Exception):
    """Any error of ours."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong in what a person wrote: where it is, what stands there, and what would be right."""

    file: str
    key: str
    value: str
    advice: str

    def __str__(self) -> str:
        where = ": ".join(part for part in (self.file, self.key) if part)
        shown = f" = {self.value}" if self.value else ""
        return f"{where}{shown}: {self.advice}"


class ConfigError(StopitError):
    """A configuration, key, alias file or template cannot be used. Holds every fault found, not the first."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))


class DecodeError(StopitError):
    """Bytes from a store are not a report or trace that this version can read."""


class Transient(StopitError):
    """A store or server could not be used now; the same call may succeed later."""


class NotAllowed(Transient):
    """A store does not let its user do this; the same call may succeed when its administrator changes that."""


class Permanent(StopitError):
    """A server said no for good (an SMTP 5yz, RFC 5321 section 4.2.1)."""
