"""What the tests of files that other programs read need: those programs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest


@pytest.fixture
def tool() -> Callable[[str], str]:
    """The path of a program, by name. Without it the test is skipped, but never where ./run test set things up."""

    def find(name: str) -> str:
        if path := shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"):
            return path
        missing = f"needs {name}; ./run test installs it"
        if os.environ.get("STOPIT_SERVERS") == "required":
            pytest.fail(missing)
        pytest.skip(missing)

    return find
