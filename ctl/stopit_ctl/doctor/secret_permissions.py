"""Who can read and change the site's secrets: above all the key, by which every digest and reply address holds."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Iterator
from pathlib import Path

from stopit_core.config import Settings
from stopit_ctl.probe_results import ProbeResult
from stopit_ctl.service_user import ServiceUser

__all__ = ["probe_secret_permissions"]

_ROOT = 0


def probe_secret_permissions(settings: Settings, users: tuple[ServiceUser, ...]) -> Iterator[ProbeResult]:
    """Of each secret's file, who may read it; a fault where that is somebody without need. `users`: the daemons'."""
    owners = {_ROOT, os.geteuid(), *(uid for user in users if (uid := user.uid) is not None)}
    groups = {_ROOT, os.getegid(), *(gid for user in users for gid in user.gids)}
    files = {
        "key": settings.ledger.key_file,
        "queue.password_file": settings.queue.password_file,
        "ledger.password_file": settings.ledger.password_file,
        "cases.password_file": settings.cases.password_file,
        "smtp.password_file": settings.smtp.password_file,
    }
    for name, path in files.items():
        if path is not None:
            yield from _kept(name, path, owners, groups)


def _kept(name: str, path: Path, owners: set[int], groups: set[int]) -> Iterator[ProbeResult]:
    try:
        found, above = path.stat(), path.parent.stat()
    except OSError:
        return  # that it cannot be read was found among the files
    owner, group = _user(found.st_uid), _group(found.st_gid)
    mode = stat.S_IMODE(found.st_mode)
    if found.st_uid not in owners:
        yield ProbeResult.fault(f"{name}: {path} is {owner}'s, who can change it", f"chown root {path}")
    elif mode & stat.S_IRGRP and found.st_gid not in groups:
        yield ProbeResult.fault(f"{name}: group {group} can read {path}", f"chgrp stopit {path}, or chmod 0600")
    elif above.st_mode & stat.S_IWOTH and not above.st_mode & stat.S_ISVTX:
        yield ProbeResult.fault(
            f"{name}: anybody can put another file in place of {path}", f"chmod o-w {path.parent}"
        )
    else:
        readers = f"{owner} and group {group}" if mode & stat.S_IRGRP else f"{owner} alone"
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
