"""Markers on the fields of the sections: what holds for a key beside the type of its value."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic.fields import FieldInfo

__all__ = ["FormerName", "NeedsRestart", "former_name", "needs_restart"]


@dataclass(frozen=True, slots=True)
class NeedsRestart:
    """A running daemon keeps the value of the key that it started with."""


@dataclass(frozen=True, slots=True)
class FormerName:
    """The key had another name in the version before, which is still read, with a warning."""

    name: str


def needs_restart(field: FieldInfo) -> bool:
    """Return whether a change of this key needs a restart."""
    return any(isinstance(marker, NeedsRestart) for marker in field.metadata)


def former_name(field: FieldInfo) -> str:
    """Return the former name of this key, "" if it has none."""
    return next((marker.name for marker in field.metadata if isinstance(marker, FormerName)), "")
