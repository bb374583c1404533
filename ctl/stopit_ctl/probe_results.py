"""The results of the probes of `check` and `doctor`: the status of each part, and what to do about a fault."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from stopit_core.errors import ConfigError, Fault
from stopit_ctl.console_output import ConsoleOutput

__all__ = ["ProbeResult", "Status", "config_faults", "print_results"]


_DENIED = "let the daemons read it: chgrp stopit, chmod 0640, and 0750 for its directory"


class Status(StrEnum):
    """The status of a part that was probed."""

    OK = "ok"
    FAULT = "FAULT"
    WARNING = "warning"
    UNTRIED = "untried"

    @property
    def style(self) -> str:
        """Its colour on a terminal."""
        return {Status.OK: "green", Status.FAULT: "bold red", Status.WARNING: "yellow", Status.UNTRIED: "yellow"}[
            self
        ]


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The result of one probe. `advice`: what to do, empty when the part is in order."""

    status: Status
    text: str
    advice: str = ""

    @classmethod
    def ok(cls, text: str) -> ProbeResult:
        """Make the result of a part that is in order."""
        return cls(Status.OK, text)

    @classmethod
    def fault(cls, text: str, advice: str) -> ProbeResult:
        """Make the result of a part that is not in order."""
        return cls(Status.FAULT, text, advice)

    @classmethod
    def warning(cls, text: str) -> ProbeResult:
        """Make the result of a part that can be used, but should be changed."""
        return cls(Status.WARNING, text)

    @classmethod
    def untried(cls, text: str, advice: str) -> ProbeResult:
        """Make the result of a part that could not be probed from here."""
        return cls(Status.UNTRIED, text, advice)

    def __str__(self) -> str:
        return f"{self.text}: {self.advice}" if self.advice else self.text


def config_faults(error: ConfigError) -> list[ProbeResult]:
    """Return the faults of a file as results. Advice is added to faults of permissions; the others contain it."""
    return [ProbeResult.fault(str(fault), _DENIED if _is_denied(fault) else "") for fault in error.faults]


def _is_denied(fault: Fault) -> bool:
    return os.strerror(errno.EACCES) in fault.advice


def print_results(output: ConsoleOutput, results: Iterable[ProbeResult]) -> Sequence[ProbeResult]:
    """Print each result as soon as it is known, faults on standard error, and return all of them."""
    printed = []
    for result in results:
        is_fault = result.status is Status.FAULT
        output.status(result.status.value, str(result), result.status.style, is_fault=is_fault)
        printed.append(result)
    return printed
