"""What `check` and `doctor` find: each thing with its state, and what to do where it is wrong."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from stopit_core.errors import ConfigError, Fault
from stopit_ctl.console_output import Screen

__all__ = ["Finding", "State", "faults_of", "report"]


_DENIED = "let the daemons read it: chgrp stopit, chmod 0640, and 0750 for its directory"


class State(StrEnum):
    """How a thing is."""

    OK = "ok"
    FAULT = "FAULT"
    WARNING = "warning"
    UNTRIED = "untried"

    @property
    def style(self) -> str:
        """Its colour on a terminal."""
        return {State.OK: "green", State.FAULT: "bold red", State.WARNING: "yellow", State.UNTRIED: "yellow"}[self]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `advice`: what to do, where it is not in order."""

    state: State
    what: str
    advice: str = ""

    @classmethod
    def ok(cls, what: str) -> Finding:
        """It holds."""
        return cls(State.OK, what)

    @classmethod
    def fault(cls, what: str, advice: str) -> Finding:
        """It does not."""
        return cls(State.FAULT, what, advice)

    @classmethod
    def warning(cls, what: str) -> Finding:
        """It can be used, but should be changed."""
        return cls(State.WARNING, what)

    @classmethod
    def untried(cls, what: str, advice: str) -> Finding:
        """It could not be looked at from here."""
        return cls(State.UNTRIED, what, advice)

    def __str__(self) -> str:
        return f"{self.what}: {self.advice}" if self.advice else self.what


def faults_of(error: ConfigError) -> list[Finding]:
    """The faults of a file as findings; each fault says itself what would be right, but for one of permissions."""
    return [Finding.fault(str(fault), _DENIED if _is_denied(fault) else "") for fault in error.faults]


def _is_denied(fault: Fault) -> bool:
    return os.strerror(errno.EACCES) in fault.advice


def report(screen: Screen, findings: Iterable[Finding]) -> Sequence[Finding]:
    """Print findings as they come, faults on standard error; gives them back."""
    shown = []
    for finding in findings:
        screen.state(finding.state.value, str(finding), finding.state.style, wrong=finding.state is State.FAULT)
        shown.append(finding)
    return shown
