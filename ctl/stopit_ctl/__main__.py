"""The list of what stopitctl can do."""

from __future__ import annotations

import io
import sys

from stopit_ctl.check import check
from stopit_ctl.config import config_group
from stopit_ctl.doctor import doctor
from stopit_ctl.init import init
from stopit_ctl.program import stopitctl

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that lacks a letter gets its escape, not a traceback
            stream.reconfigure(errors="backslashreplace")
    for command in (init, check, doctor, config_group):
        stopitctl.add_command(command)
    stopitctl(prog_name="stopitctl")


if __name__ == "__main__":
    main()
