"""Acting as the users that the daemons run as.

Root may open every file, so what root finds readable says nothing of the daemons; a database that root makes is one
that they cannot write; and PostgreSQL knows its users by the unix user who asks. So when root runs stopitctl, what
belongs to a daemon is done with its user's effective ids. Anybody else acts as who they are.

Secrets are the exception: those that the service manager reads as root and hands to a daemon (`credentials`) are read
here as root too, each only for the daemon that gets it.
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
    """A daemon's user by name, "" for whoever runs stopitctl; `unit` is the daemon. `secrets`: the directory of those
    that the service manager hands over."""

    name: str
    unit: str = ""
    secrets: Path = DIRECTORY

    @property
    def exists(self) -> bool:
        """Whether this system has such a user."""
        return self._entry() is not None

    @property
    def reachable(self) -> bool:
        """Whether `acting` makes a difference: root is asked, and the user is there."""
        return os.geteuid() == 0 and self.exists

    @property
    def uid(self) -> int | None:
        """Its user id; None where there is no such user."""
        entry = self._entry()
        return None if entry is None else entry.pw_uid

    @property
    def gids(self) -> tuple[int, ...]:
        """The ids of its groups."""
        entry = self._entry()
        return () if entry is None else tuple(os.getgrouplist(entry.pw_name, entry.pw_gid))

    @contextmanager
    def acting(self) -> Iterator[None]:
        """Inside the block this process opens files and sockets as that user, where it can."""
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
        """Whether the daemon gets this secret from the service manager, and need not be able to open it."""
        return path.parent == self.secrets and path.name in CREDENTIALS.get(self.unit, ())

    def read(self, path: Path) -> str:
        """A secret as the daemon gets it, also inside `acting`. Raises OSError, UnicodeDecodeError."""
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
    """The name of the person at the keyboard, also behind sudo; their user id when it has no name."""
    if os.getuid() == 0 and (name := os.environ.get("SUDO_USER")):
        return name
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
