"""Console output: printable characters, 80 columns, and no colour in a pipe."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopit_ctl.console_output import duration, local_time, printable


@given(st.text())
def test_only_printable_characters(text: str) -> None:
    assert printable(text).isprintable()


def test_what_is_printable_stays() -> None:
    assert printable("Müller – 中文 \\x") == "Müller – 中文 \\x"
    assert printable("a\x1b[2J\u202eb\ud800") == "a\\x1b[2J\\u202eb\\ud800"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2 h"), (172800, "2 d"), (1e7, "116 d")],
)
def test_durations(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


def test_no_time_is_no_text() -> None:
    assert local_time(None) == local_time(0.0) == ""
    assert local_time(1_790_000_000.0) == "2026-09-21 14:13:20"


def on_terminal(*arguments: str, environ: dict[str, str]) -> str:
    """Return the output of stopitctl on a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as terminal:
        process = subprocess.Popen(
            [sys.executable, "-m", "stopit_ctl", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**os.environ, "COLUMNS": "80", "TERM": "xterm", **environ},
        )
        os.close(theirs)
        seen = io.BytesIO()
        while part := _read(terminal):
            seen.write(part)
        process.wait()
    return seen.getvalue().decode().replace("\r\n", "\n")


def _read(terminal: io.RawIOBase) -> bytes:
    try:
        return terminal.read(4096) or b""
    except OSError:  # the other end is closed
        return b""


def test_a_terminal_gets_colours_and_80_columns(host) -> None:
    plain = {"STOPIT_MILTER_USER": "", "STOPIT_NOTIFIER_USER": ""}
    said = on_terminal("--config", str(host.path), "check", environ=plain)
    assert "\x1b[32mok" in said
    bare = on_terminal("--config", str(host.path), "check", environ={**plain, "NO_COLOR": "1"})
    assert "\x1b[3" not in bare
    assert max(map(len, bare.splitlines())) <= 80
