"""`stopitctl check`: find every fault that can be found before the daemons run."""

from __future__ import annotations

import os
from collections.abc import Iterator

import click

from stopit_core import config
from stopit_ctl.cli import EX_FOUND
from stopit_ctl.doctor.files import probe_files
from stopit_ctl.doctor.stores import probe_stores
from stopit_ctl.local_site import Site
from stopit_ctl.probe_results import ProbeResult, Status, print_results
from stopit_ctl.service_user import operator

__all__ = ["check"]


@click.command()
@click.pass_obj
def check(site: Site) -> None:
    """Check configuration, key, aliases, templates, plug-ins and stores.

    Reports every fault at once, each with what to do. Run as root, it tries
    files and stores as the users that the daemons run as. It changes nothing
    and needs no running daemon; `stopitctl doctor` checks a running site.
    """
    settings = site.settings()
    results = print_results(site.output, _probes(site, settings))
    if any(result.status is Status.FAULT for result in results):
        raise click.exceptions.Exit(EX_FOUND)


def _probes(site: Site, settings: config.Settings) -> Iterator[ProbeResult]:
    yield from _probe_users(site)
    yield from probe_files(site, settings)
    yield from probe_stores(site, settings, running=False)


def _probe_users(site: Site) -> Iterator[ProbeResult]:
    """Report when the other probes cannot run with the rights of the daemons' users."""
    wanted = [user for user in (site.milter_user, site.notifier_user) if user.name]
    missing = ", ".join(user.name for user in wanted if not user.exists)
    if missing and os.geteuid() == 0:
        yield ProbeResult.untried(
            f"users: there is no {missing}, so files and stores are tried as root, which can open every file",
            "create the users with systemd-sysusers, or name yours with --milter-user and --notifier-user",
        )
    elif wanted and os.geteuid() != 0:
        yield ProbeResult.untried(
            f"users: files and stores are tried as {operator()}, not as the daemons' users", "run it as root for that"
        )
