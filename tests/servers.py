"""Programs and servers that tests need, and the one rule for what is missing.

What is missing skips the test. With STOPIT_SERVERS=required, which `./run test` sets, it fails the test.
STOPIT_HIDDEN lists programs, with commas between them, that count as missing; .ci/run proves the rule with it.
"""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest

__all__ = ["missing", "program", "require"]

_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def missing(what: str) -> NoReturn:
    """Skip the test because of what it needs and does not have, or fail it where servers are required."""
    reason = f"needs {what}; ./run test installs programs, and is run by root"
    if os.environ.get("STOPIT_SERVERS") == "required":
        pytest.fail(reason)
    pytest.skip(reason)


def require(*programs: str, root: bool = False) -> None:
    """Need these programs and, where `root` is set, the rights of root. All that is missing is named at once."""
    lacks = [name for name in programs if _find(name) is None]
    if root and os.geteuid() != 0:
        lacks.append("root")
    if lacks:
        missing(", ".join(lacks))


def program(name: str) -> str:
    """Return the path of a program."""
    return _find(name) or missing(name)


def _find(name: str) -> str | None:
    if name in os.environ.get("STOPIT_HIDDEN", "").split(","):
        return None
    return shutil.which(name, path=_PATH)
