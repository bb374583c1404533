"""The command group of stopitctl: its global options, and the output of errors.

Exit codes: 0 success, 1 a fault was found or something could not be reached, 2 wrong usage, 78 the configuration
cannot be used (EX_CONFIG of sysexits.h, which systemd knows too).
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import click

from stopit_core import __version__, config
from stopit_core.errors import ConfigError, StopitError
from stopit_ctl.console_output import ConsoleOutput
from stopit_ctl.local_site import Site
from stopit_ctl.service_user import ServiceUser

__all__ = ["EX_FOUND", "stopitctl"]

EX_FOUND = 1
_EX_CONFIG = 78
_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 80}


class _StopitctlGroup(click.Group):
    """A command group that prints an expected error as one line for each fault, without a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            for fault in error.faults:
                _print_error(str(fault))
            _suggest_root()
            ctx.exit(_EX_CONFIG)
        except StopitError as error:
            _print_error(f"{error}; `stopitctl check` checks every part")
            _suggest_root()
            ctx.exit(EX_FOUND)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Return the commands in the order in which a postmaster needs them."""
        return list(self.commands)


@click.group(cls=_StopitctlGroup, context_settings=_SETTINGS)
@click.option(
    "--config",
    "path",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The configuration. [default: $STOPIT_CONFIG, else /etc/stopit/stopit.toml]",
)
@click.option(
    "--milter-user",
    metavar="NAME",
    envvar="STOPIT_MILTER_USER",
    default="stopit",
    show_default=True,
    help='Root opens the files and servers of stopit-milter as this user; "" means as root.',
)
@click.option(
    "--notifier-user",
    metavar="NAME",
    envvar="STOPIT_NOTIFIER_USER",
    default="stopit-notifier",
    show_default=True,
    help="The same for stopit-notifier: the case record, templates, the queue.",
)
@click.version_option(__version__, prog_name="stopitctl", message="%(prog)s %(version)s")
@click.pass_context
def stopitctl(ctx: click.Context, path: Path | None, milter_user: str, notifier_user: str) -> None:
    """Set up, inspect and repair Stopit.

    On a new site, run init, then check, and, when the daemons run and the MTA
    asks the milter, doctor. `stopitctl COMMAND --help` describes a command.

    Exit codes: 0 success, 1 a fault was found, 2 wrong usage, 78 the
    configuration cannot be used.
    """
    ctx.obj = Site(
        config.config_path(path),
        ServiceUser(milter_user, "stopit-milter"),
        ServiceUser(notifier_user, "stopit-notifier"),
        ConsoleOutput(),
        time.time,
    )


def _print_error(text: str) -> None:
    ConsoleOutput().error(f"stopitctl: {text}")


def _suggest_root() -> None:
    if os.geteuid() != 0:
        _print_error("you are not root: if permissions are missing, try again with sudo")
