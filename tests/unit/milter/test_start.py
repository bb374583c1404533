"""The check for libmilter at the start. A module that fails as pymilter does stands for a missing libmilter."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

START = "from stopit_milter.program import main; main()"
MISSING = "libmilter.so.1.0.1: cannot open shared object file: No such file or directory"


def start(*arguments: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "PYTHONPATH": str(path)} if path else None
    return subprocess.run(
        [sys.executable, "-c", START, *arguments], capture_output=True, text=True, check=False, env=environ
    )


def test_without_libmilter_it_says_what_to_install_and_ends_for_good(tmp_path: Path) -> None:
    (tmp_path / "Milter.py").write_text(f"raise ImportError({MISSING!r})\n")

    done = start("--version", path=tmp_path)

    assert done.returncode == 69
    assert done.stderr == (
        f"stopit-milter: needs libmilter, the mail filter library of Sendmail ({MISSING}); as root: apt-get install"
        " libmilter1.0.1\n"
    )


def test_with_it_the_program_runs() -> None:
    done = start("--version")
    assert (done.returncode, done.stdout[:14]) == (0, "stopit-milter,"), done.stderr


def test_neither_the_notifier_nor_stopitctl_need_it(tmp_path: Path) -> None:
    (tmp_path / "Milter.py").write_text(f"raise ImportError({MISSING!r})\n")
    for module in ("stopit_notifier.__main__", "stopit_ctl.__main__"):
        done = subprocess.run(
            [sys.executable, "-m", module, "--version"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
        )
        assert done.returncode == 0, done.stderr
