"""`stopitctl doctor`: each part of a running site, connected to as it will be connected to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click

from stopit_core import config
from stopit_core.errors import ConfigError
from stopit_core.keys import Keyring, read_key
from stopit_ctl.check import look_at_files
from stopit_ctl.findings import Finding, State, report
from stopit_ctl.host import look_at_clock, look_at_disk, look_at_metrics
from stopit_ctl.milter_door import look_at_milter
from stopit_ctl.postfix import Postfix
from stopit_ctl.program import EX_FOUND
from stopit_ctl.site import Site, sqlite_file
from stopit_ctl.smtp_door import look_at_smtp
from stopit_ctl.storage import look_at_stores, seen_by

__all__ = ["doctor"]


@click.command()
@click.option("--postfix-config", metavar="DIR", type=click.Path(path_type=Path, file_okay=False),
              help="Configuration of the Postfix that asks the milter. [default: the system's]")  # fmt: skip
@click.pass_obj
def doctor(site: Site, postfix_config: Path | None) -> None:
    """Try every part of a running site, each as it is used.

    The milter's socket is tried as user postfix, from inside Postfix's chroot
    where it lies there; the stores as the daemons' users; the MTA up to RCPT
    TO. Nothing is sent and nothing changed. What cannot be tried without root
    is named.
    """
    settings = site.settings()
    findings = _everything(site, settings, Postfix(postfix_config))
    found = report(site.screen, findings)
    count = sum(finding.state is State.FAULT for finding in found)
    if count:
        site.screen.line(f"{count} of {len(found)} findings are faults.")
        raise click.exceptions.Exit(EX_FOUND)
    site.screen.line("No fault was found.")


def _everything(site: Site, settings: config.Settings, postfix: Postfix) -> Iterator[Finding]:
    now = site.clock()
    yield from look_at_files(site, settings)
    yield from look_at_stores(site, settings, running=True)
    yield from look_at_milter(settings.milter.socket, postfix.queue_directory())
    yield from postfix.look(settings.milter.socket)
    yield from _smtp(site, settings)
    yield from look_at_metrics("stopit-milter", settings.milter.metrics, now)
    yield from look_at_metrics("stopit-notifier", settings.notifier.metrics, now)
    yield from look_at_disk(_directories(settings))
    yield from look_at_clock(now)
    if os.geteuid() != 0:
        yield Finding.untried("what only the daemons' users and postfix may open", "run doctor as root")


def _smtp(site: Site, settings: config.Settings) -> Iterator[Finding]:
    with site.notifier_user.acting():
        try:
            keyring: Keyring = read_key(settings.ledger.key_file)
        except ConfigError:
            return  # the key was found faulty among the files
    yield from seen_by(site.notifier_user, lambda: look_at_smtp(settings.smtp, settings.campus, keyring))


def _directories(settings: config.Settings) -> list[Path]:
    files = (sqlite_file(url) for url in (settings.ledger.url, settings.queue.url, settings.cases.url))
    return [settings.queue.spool_dir.parent, *(file.parent for file in files if file is not None)]
