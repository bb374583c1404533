"""Waiting for what another process does: by asking again and again, never by sleeping a fixed time.

A bound is generous because it is only ever reached when something is wrong; then the error says what was waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["PATIENCE", "TooLate", "until"]

T = TypeVar("T")

PATIENCE = 30.0
"""Seconds until a wait is given up."""
_PAUSE = 0.03


class TooLate(AssertionError):
    """What was waited for did not come true in time."""


def until(ask: Callable[[], T | None], what: str, timeout: float = PATIENCE) -> T:
    """The first answer that is true, asked for up to `timeout` seconds. Raises TooLate that names `what`."""
    deadline = time.monotonic() + timeout
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise TooLate(f"waited {timeout:g} s for {what}; the last answer was {answer!r}")
        time.sleep(_PAUSE)
