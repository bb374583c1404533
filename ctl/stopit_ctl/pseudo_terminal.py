"""Runs a program on a pseudo-terminal. Without a terminal, postfix(1) writes its errors to the log only."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Sequence
from contextlib import suppress

__all__ = ["run_on_terminal"]


def run_on_terminal(command: Sequence[str], timeout: float) -> tuple[int, str]:
    """Return the exit code and the output, without repeated lines. Raises OSError, subprocess.TimeoutExpired."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs)  # noqa: S603
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    output = b""
    with os.fdopen(ours, "rb", buffering=0) as terminal, process:
        with suppress(OSError):  # EIO: the program has closed its end
            while part := terminal.read(4096):
                output += part
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    lines = dict.fromkeys(line.strip() for line in output.decode("utf-8", "replace").splitlines())
    return code, "\n".join(filter(None, lines))
