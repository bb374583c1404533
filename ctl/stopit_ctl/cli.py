"""The group that all commands stand in: the options before them, and what becomes of errors.

Exit codes: 0 fine, 1 something was found wrong or could not be reached, 2 wrong usage, 78 the configuration cannot
be used (EX_CONFIG of sysexits.h, which systemd knows too).
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

__all__ = ["EX_CONFIG", "EX_FOUND", "stopitctl"]

EX_FOUND = 1
EX_CONFIG = 78
SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 80}


class Program(click.Group):
    """A group whose foreseeable trouble comes out as one line for each fault, never as a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            for fault in error.faults:
                _complain(str(fault))
            _advise()
            ctx.exit(EX_CONFIG)
        except StopitError as error:
            _complain(f"{error}; `stopitctl check` looks at every part")
            _advise()
            ctx.exit(EX_FOUND)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """In the order in which a postmaster meets them."""
        return list(self.commands)


@click.group(cls=Program, context_settings=SETTINGS)
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
    help='Root acts as this user where files and servers of stopit-milter are meant; "" stays root.',
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
    """Set up Stopit, look into it, and mend it.

    A new site: init, then check, then (when the daemons run and the MTA knows
    the milter) doctor. `stopitctl COMMAND --help` tells more of each.

    Exit codes: 0 fine, 1 something is wrong, 2 wrong usage, 78 the
    configuration cannot be used.
    """
    ctx.obj = Site(
        config.config_path(path),
        ServiceUser(milter_user, "stopit-milter"),
        ServiceUser(notifier_user, "stopit-notifier"),
        ConsoleOutput(),
        time.time,
    )


def _complain(text: str) -> None:
    ConsoleOutput().error(f"stopitctl: {text}")


def _advise() -> None:
    if os.geteuid() != 0:
        _complain("you are not root: if this is a matter of permissions, try again with sudo")
