"""Acts as the users that the daemons run as.

Root can open every file, so a test as root does not show what a daemon can read; a database that root creates is not
writable for the daemons; and PostgreSQL identifies its clients by their Unix user. So when root runs stopitctl, it
opens a daemon's files and servers with the effective ids of the daemon's user. Other users keep their ids.

Secrets are the exception: those that the service manager reads as root and passes to a daemon (`credentials`) are
read as root here too, each only for the daemon that receives it.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from stopit_core.credentials import CREDENTIALS, DIRECTORY, read_secret

__all__ = ["ServiceUser", "operator"]


@dataclass(frozen=True, slots=True)
class ServiceUser:
    """The user of a daemon.

    `name` is "" for the user who runs stopitctl. `unit` is the daemon. `secrets` is the directory of the secrets that
    the service manager passes to it.
    """

    name: str
    unit: str = ""
    secrets: Path = DIRECTORY

    @property
    def exists(self) -> bool:
        """Return whether this system has the user."""
        return self._entry() is not None

    @property
    def reachable(self) -> bool:
        """Return whether `acting` changes the user: it does for root, when the user exists."""
        return os.geteuid() == 0 and self.exists

    @property
    def uid(self) -> int | None:
        """Return its user id; None without such a user."""
        entry = self._entry()
        return None if entry is None else entry.pw_uid

    @property
    def gids(self) -> tuple[int, ...]:
        """Return the ids of its groups."""
        entry = self._entry()
        return () if entry is None else tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))

    @contextmanager
    def acting(self) -> Iterator[None]:
        """Open files and sockets as that user inside the block, where this process can."""
        entry = self._entry()
        if entry is None or os.geteuid() != 0:
            yield
            return
        groups, gid = os.getgroups(), os.getegid()
        os.setgroups(os.getgrouplist(entry.pw_name, entry.pw_gid))
        os.setegid(entry.pw_gid)
        os.seteuid(entry.pw_uid)
        try:
            yield
        finally:
            os.seteuid(0)
            os.setegid(gid)
            os.setgroups(groups)

    def is_handed(self, path: Path) -> bool:
        """Return whether the service manager passes this secret to the daemon, which need not be able to open it."""
        return path.parent == self.secrets and path.name in CREDENTIALS.get(self.unit, ())

    def read(self, path: Path) -> str:
        """Read a secret as the daemon gets it, also inside `acting`. Raises OSError, UnicodeDecodeError."""
        acting = os.geteuid()
        if acting == 0 or os.getuid() != 0 or not self.is_handed(path):
            return read_secret(path)
        os.seteuid(0)
        try:
            return read_secret(path)
        finally:
            os.seteuid(acting)

    def _entry(self) -> pwd.struct_passwd | None:
        try:
            return pwd.getpwnam(self.name) if self.name else None
        except KeyError:
            return None


def operator() -> str:
    """Return the name of the user who runs stopitctl, also by sudo; the user id when it has no name."""
    if os.getuid() == 0 and (name := os.environ.get("SUDO_USER")):
        return name
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
