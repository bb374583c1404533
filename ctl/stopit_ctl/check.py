"""`stopitctl check`: everything that can be known before the daemons run, all faults at once."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import click

from stopit_core import config
from stopit_core.addresses import read_aliases
from stopit_core.credentials import read_password
from stopit_core.errors import ConfigError
from stopit_core.flags import FlagRules, load_recognisers
from stopit_core.identity.directory import directory_factory
from stopit_core.identity.keys import KEY_BYTES, Keyring, read_key
from stopit_core.outgoing.render import Renderer
from stopit_ctl.cli import EX_FOUND
from stopit_ctl.doctor.stores import probe_as, probe_stores
from stopit_ctl.local_site import Site
from stopit_ctl.probe_results import ProbeResult, Status, config_faults, print_results
from stopit_ctl.service_user import ServiceUser, operator

__all__ = ["check", "probe_files"]


@click.command()
@click.pass_obj
def check(site: Site) -> None:
    """Check configuration, key, aliases, templates, plug-ins and stores.

    Names all faults at once, each with what to do. Run by root it looks with
    the eyes of the users that the daemons run as. It changes nothing, and needs
    no daemon; when they run, `stopitctl doctor` looks further.
    """
    settings = site.settings()
    found = print_results(site.output, _everything(site, settings))
    if any(result.status is Status.FAULT for result in found):
        raise click.exceptions.Exit(EX_FOUND)


def probe_files(site: Site, settings: config.Settings) -> Iterator[ProbeResult]:
    """The files that the configuration names, and the plug-ins, as each daemon that needs them."""
    yield from (ProbeResult.warning(str(warning)) for warning in settings.warnings)
    for user in site.users():
        yield from probe_as(user, partial(_of_both, site.path, settings, user))
    yield from probe_as(site.notifier_user, lambda: _of_notifier(settings, site.notifier_user))


def _everything(site: Site, settings: config.Settings) -> Iterator[ProbeResult]:
    yield from _eyes(site)
    yield from probe_files(site, settings)
    yield from probe_stores(site, settings, running=False)


def _eyes(site: Site) -> Iterator[ProbeResult]:
    """Whether this can look as the daemons would."""
    wanted = [user for user in (site.milter_user, site.notifier_user) if user.name]
    missing = ", ".join(user.name for user in wanted if not user.exists)
    if missing and os.geteuid() == 0:
        yield ProbeResult.untried(
            f"users: there is no {missing}, so files and stores are tried as root, who can open anything",
            "make the users with systemd-sysusers, or name yours with --milter-user and --notifier-user",
        )
    elif wanted and os.geteuid() != 0:
        yield ProbeResult.untried(
            f"users: files and stores are tried as {operator()}, not as the daemons' users", "run it as root for that"
        )


def _of_both(path: Path, settings: config.Settings, user: ServiceUser) -> Iterator[ProbeResult]:
    yield from _tried(f"configuration: {path} can be used", lambda: config.load(path))
    yield from _key(settings.ledger.key_file, user)
    yield from _aliases(settings)
    yield from _tried(
        f'directory: "{settings.identity.directory}" is installed',
        lambda: directory_factory(settings.identity.directory)(settings.identity.login_address),
    )
    yield from _tried(
        "flags: every plug-in that is installed can be loaded",
        lambda: load_recognisers(FlagRules.of(settings.flag, settings.campus)),
    )


def _of_notifier(settings: config.Settings, user: ServiceUser) -> Iterator[ProbeResult]:
    yield from _tried("templates: all of them can be rendered", lambda: _load_templates(settings))
    for key, path in _password_files(settings):
        yield from _password(key, path, user)
    yield from _cases_url(settings.cases.url, user)


def _tried(what: str, attempt: Callable[[], object]) -> Iterator[ProbeResult]:
    try:
        attempt()
    except ConfigError as error:
        yield from config_faults(error)
    else:
        yield ProbeResult.ok(what)


def _key(path: Path, user: ServiceUser) -> Iterator[ProbeResult]:
    if user.is_handed(path) and os.getuid() != 0:
        yield ProbeResult.untried(f"key: {path} is for root alone, who hands it to the daemons", "run it as root")
        return
    yield from _tried(f"key: {path} can be used", lambda: read_key(path, user.read))
    yield from _secret("key", path, user)


def _secret(name: str, path: Path, user: ServiceUser) -> Iterator[ProbeResult]:
    """A fault when others can read a secret. That it can be read at all is for others to say."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if user.is_handed(path):
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            yield ProbeResult.fault(
                f"{name}: {path} has mode {stat.S_IMODE(mode):04o}",
                "root alone needs it, systemd hands it to the daemons: chmod 0600",
            )
    elif mode & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
        yield ProbeResult.fault(
            f"{name}: {path} has mode {stat.S_IMODE(mode):04o}", "only the daemons may read it: chmod 0640"
        )


def _aliases(settings: config.Settings) -> Iterator[ProbeResult]:
    path = settings.identity.aliases
    if path is not None:
        yield from _tried(f"aliases: {path} can be used", lambda: read_aliases(path, settings.campus.domains))


def _load_templates(settings: config.Settings) -> None:
    """With a key of zeros: that the site's own is not there must not hide what is wrong with a template."""
    Renderer.load(
        settings.campus, settings.flag, settings.office, Keyring(bytes(KEY_BYTES)), settings.notifier.templates
    )


def _password_files(settings: config.Settings) -> Iterator[tuple[str, Path]]:
    """The files of passwords that the configuration names, by their keys."""
    named = {
        "queue.password_file": settings.queue.password_file,
        "ledger.password_file": settings.ledger.password_file,
        "cases.password_file": settings.cases.password_file,
        "smtp.password_file": settings.smtp.password_file,
    }
    yield from ((key, path) for key, path in named.items() if path is not None)


def _password(key: str, path: Path, user: ServiceUser) -> Iterator[ProbeResult]:
    yield from _tried(f"{key}: {path} can be read", lambda: read_password(key, path, user.read))
    yield from _secret(key, path, user)


def _cases_url(url: str, user: ServiceUser) -> Iterator[ProbeResult]:
    if config.has_password(url):
        file = user.secrets / "cases.password"
        yield ProbeResult.fault(
            "cases.url: holds a password, and stopit-milter can read this file too",
            f'write it to {file}, mode 0600, and set password_file = "{file}" in [cases]',
        )
