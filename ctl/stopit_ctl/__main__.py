"""The commands of stopitctl."""

from __future__ import annotations

import io
import sys

import click

from stopit_ctl.backup import backup
from stopit_ctl.case_actions import close, note, notice
from stopit_ctl.cases import cases_group
from stopit_ctl.check import check
from stopit_ctl.cli import stopitctl
from stopit_ctl.config import config_group
from stopit_ctl.doctor.command import doctor
from stopit_ctl.health import health
from stopit_ctl.init import init
from stopit_ctl.observe_report import observe_report
from stopit_ctl.preview import preview_group
from stopit_ctl.queue import queue_group
from stopit_ctl.restore import restore
from stopit_ctl.setup.command import setup_group
from stopit_ctl.simulate import simulate

__all__ = ["command_line", "main"]


def command_line() -> click.Group:
    """Return the whole command line, in the order in which help shows it."""
    for command in (notice, note, close):
        cases_group.add_command(command)
    for command in (
        init,
        check,
        setup_group,
        doctor,
        health,
        observe_report,
        simulate,
        queue_group,
        cases_group,
        preview_group,
        config_group,
        backup,
        restore,
    ):
        stopitctl.add_command(command)
    return stopitctl


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a character that the terminal lacks is escaped
            stream.reconfigure(errors="backslashreplace")
    command_line()(prog_name="stopitctl")


if __name__ == "__main__":
    main()
