"""Waits for another process by asking repeatedly, never by sleeping a fixed time.

The time limit is generous because it is only reached on failure; the error then names what was waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["PATIENCE", "TooLate", "until"]

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds until a wait fails."""
_PAUSE = 0.03


class TooLate(AssertionError):
    """A wait reached its time limit."""


def until(ask: Callable[[], T | None], what: str, timeout: float = PATIENCE) -> T:
    """Return the first true result, polling for up to `timeout` seconds. Raises TooLate, which names `what`."""
    deadline = time.monotonic() + timeout
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise TooLate(f"waited {timeout:g} s for {what}; the last answer was {answer!r}")
        time.sleep(_PAUSE)
