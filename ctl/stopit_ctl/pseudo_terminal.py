"""Running a program that says what is wrong only to a person at a terminal: postfix(1) tells the log else."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Sequence
from contextlib import suppress

__all__ = ["run_on_terminal"]


def run_on_terminal(command: Sequence[str], timeout: float) -> tuple[int, str]:
    """Its exit code, and what it said, each line once. Raises OSError, subprocess.TimeoutExpired."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)  # noqa: S603
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    said = b""
    with os.fdopen(ours, "rb", buffering=0) as terminal, process:
        with suppress(OSError):  # EIO: nobody holds the other end any more
            while part := terminal.read(4096):
                said += part
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    lines = dict.fromkeys(line.strip() for line in said.decode("utf-8", "replace").splitlines())
    return code, "\n".join(filter(None, lines))
