"""Probes who can read and change the site's secrets. The key matters most: it protects all digests and tokens."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from stopit_core.config import Settings
from stopit_ctl.doctor.files import password_files
from stopit_ctl.probe_results import ProbeResult
from stopit_ctl.service_user import ServiceUser

__all__ = ["probe_secret_permissions"]

_ROOT = 0


def probe_secret_permissions(settings: Settings, users: tuple[ServiceUser, ...]) -> Iterator[ProbeResult]:
    """Probe the owner, the group and the mode of each secret's file. `users`: the daemons' users."""
    owners = {_ROOT, os.geteuid(), *(uid for user in users if (uid := user.uid) is not None)}
    groups = {_ROOT, os.getegid(), *(gid for user in users for gid in user.gids)}
    for name, path in {"key": settings.ledger.key_file, **password_files(settings)}.items():
        yield from _file(name, path, owners, groups)


def _file(name: str, path: Path, owners: set[int], groups: set[int]) -> Iterator[ProbeResult]:
    try:
        found, above = path.stat(), path.parent.stat()
    except OSError:
        return  # the probes of the files report one that cannot be read
    owner, group = _user(found.st_uid), _group(found.st_gid)
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid not in owners:
        yield ProbeResult.fault(f"{name}: {owner} owns {path} and can change it", f"chown root {path}")
    elif mode & stat.S_IRGRP and found.st_gid not in groups:
        yield ProbeResult.fault(f"{name}: group {group} can read {path}", f"chgrp stopit {path}, or chmod 0600")
    elif above.st_mode & stat.S_IWOTH and not above.st_mode & stat.S_ISVTX:
        yield ProbeResult.fault(f"{name}: every user can replace {path}", f"chmod o-w {path.parent}")
    else:
        readers = f"{owner} and group {group}" if mode & stat.S_IRGRP else f"{owner} only"
        yield ProbeResult.ok(f"{name}: {path} can be read by {readers} (mode {mode:04o})")


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
