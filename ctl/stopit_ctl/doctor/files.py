"""Probes the files that the configuration names, and the plug-ins, as each daemon that needs them."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from stopit_core import config
from stopit_core.addresses import read_aliases
from stopit_core.credentials import read_password
from stopit_core.errors import ConfigError
from stopit_core.flags import FlagRules, load_recognisers
from stopit_core.identity.directory import directory_factory
from stopit_core.identity.keys import KEY_BYTES, Keyring, read_key
from stopit_core.outgoing.render import Renderer
from stopit_ctl.doctor.as_user import probe_as
from stopit_ctl.local_site import Site
from stopit_ctl.probe_results import ProbeResult, config_faults
from stopit_ctl.service_user import ServiceUser

__all__ = ["load_templates", "password_files", "probe_files"]


def probe_files(site: Site, settings: config.Settings) -> Iterator[ProbeResult]:
    """Probe configuration, key, aliases, plug-ins, templates and password files."""
    yield from (ProbeResult.warning(str(warning)) for warning in settings.warnings)
    for user in site.users():
        yield from probe_as(user, partial(_used_by_both, site.path, settings, user))
    yield from probe_as(site.notifier_user, lambda: _used_by_notifier(settings, site.notifier_user))


def password_files(settings: config.Settings) -> dict[str, Path]:
    """Return the password files that the configuration names, by their keys."""
    named = {
        "queue.password_file": settings.queue.password_file,
        "ledger.password_file": settings.ledger.password_file,
        "cases.password_file": settings.cases.password_file,
        "smtp.password_file": settings.smtp.password_file,
    }
    return {key: path for key, path in named.items() if path is not None}


def load_templates(settings: config.Settings) -> Renderer:
    """Load the site's templates with a key of zeros, because the site's key may be missing or faulty.

    Raises ConfigError.
    """
    return Renderer.load(
        settings.campus, settings.flag, settings.office, Keyring(bytes(KEY_BYTES)), settings.notifier.templates
    )


def _used_by_both(path: Path, settings: config.Settings, user: ServiceUser) -> Iterator[ProbeResult]:
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


def _used_by_notifier(settings: config.Settings, user: ServiceUser) -> Iterator[ProbeResult]:
    yield from _tried("templates: all of them can be rendered", lambda: load_templates(settings))
    for key, path in password_files(settings).items():
        yield from _password(key, path, user)
    yield from _cases_url(settings.cases.url, user)


def _tried(text: str, attempt: Callable[[], object]) -> Iterator[ProbeResult]:
    try:
        attempt()
    except ConfigError as error:
        yield from config_faults(error)
    else:
        yield ProbeResult.ok(text)


def _key(path: Path, user: ServiceUser) -> Iterator[ProbeResult]:
    if user.is_handed(path) and os.getuid() != 0:
        yield ProbeResult.untried(f"key: {path} is readable by root only, and systemd passes it on", "run it as root")
        return
    yield from _tried(f"key: {path} can be used", lambda: read_key(path, user.read))
    yield from _mode("key", path, user)


def _mode(name: str, path: Path, user: ServiceUser) -> Iterator[ProbeResult]:
    """Report a fault when others can read a secret. A file that cannot be read at all is reported elsewhere."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if user.is_handed(path):
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            yield ProbeResult.fault(
                f"{name}: {path} has mode {stat.S_IMODE(mode):04o}",
                "only root needs it, and systemd passes it to the daemons: chmod 0600",
            )
    elif mode & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
        yield ProbeResult.fault(
            f"{name}: {path} has mode {stat.S_IMODE(mode):04o}", "only the daemons may read it: chmod 0640"
        )


def _aliases(settings: config.Settings) -> Iterator[ProbeResult]:
    path = settings.identity.aliases
    if path is not None:
        yield from _tried(f"aliases: {path} can be used", lambda: read_aliases(path, settings.campus.domains))


def _password(key: str, path: Path, user: ServiceUser) -> Iterator[ProbeResult]:
    yield from _tried(f"{key}: {path} can be read", lambda: read_password(key, path, user.read))
    yield from _mode(key, path, user)


def _cases_url(url: str, user: ServiceUser) -> Iterator[ProbeResult]:
    if config.has_password(url):
        file = user.secrets / "cases.password"
        yield ProbeResult.fault(
            "cases.url: holds a password, and stopit-milter can read this file too",
            f'write it to {file}, mode 0600, and set password_file = "{file}" in [cases]',
        )
