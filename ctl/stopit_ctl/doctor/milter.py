"""Connects to the milter as an MTA does: by its socket, as its user, from inside its chroot, in its protocol.

The everyday complaint of every milter is a socket that is there, and that Postfix cannot reach: its smtpd runs as
user postfix, below /var/spool/postfix. So the attempt is made in a child process that becomes just that.

The protocol's first step (`milter_greeting`) is enough to know who answers.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stopit_core.daemon.milter_probe import connect, connect_unix, greet
from stopit_ctl.probe_results import ProbeResult

__all__ = ["Chroot", "probe_milter", "run_in_child"]

_POSTFIX = "postfix"
_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class Chroot:
    """Where the MTA's smtpd lives: below `directory`, as `user`."""

    directory: Path
    user: pwd.struct_passwd

    def enter(self) -> None:
        """Become that user there, for good. Only root can; only a child process should."""
        groups = os.getgrouplist(self.user.pw_name, self.user.pw_gid)
        os.chroot(self.directory)
        os.chdir("/")
        os.setgroups(groups)
        os.setgid(self.user.pw_gid)
        os.setuid(self.user.pw_uid)


def probe_milter(url: str, queue_directory: Path | None) -> Iterator[ProbeResult]:
    """Whether the milter at "unix:/path" or "inet:port@host" answers the MTA. `queue_directory`: Postfix's, where
    Postfix is on this host."""
    kind, _, place = url.partition(":")
    if kind == "inet":
        yield _finding(url, greet(lambda: connect(url, _TIMEOUT)), "")
        return
    path = Path(place)
    try:
        user = pwd.getpwnam(_POSTFIX)
    except KeyError:
        user = None
    if user is None or queue_directory is None or os.geteuid() != 0:
        why = "run doctor as root" if os.geteuid() != 0 else "there is no Postfix on this host"
        yield _finding(url, greet(lambda: connect_unix(path, _TIMEOUT)), "")
        yield ProbeResult.untried(f"milter: whether user {_POSTFIX} can connect to {url}", why)
        return
    inside = path.is_relative_to(queue_directory)
    chroot = Chroot(queue_directory if inside else Path("/"), user)
    seen = Path("/") / path.relative_to(queue_directory) if inside else path

    def enter_and_greet() -> str:
        chroot.enter()
        return greet(lambda: connect_unix(seen, _TIMEOUT))

    who = f" as user {_POSTFIX}" + (f" from inside {queue_directory}" if inside else "")
    yield _finding(url, run_in_child(enter_and_greet), who)


def run_in_child(work: Callable[[], str]) -> str:
    """What `work` returns, or how it failed, when a child process does it: it may give up rights for good."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            said = work()
        except BaseException as error:  # noqa: BLE001  nothing may leave the child but its answer
            said = f"{type(error).__name__}: {error}"
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(said.encode("utf-8", "backslashreplace"))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode("utf-8")
    os.waitpid(child, 0)
    return said


def _finding(url: str, wrong: str, who: str) -> ProbeResult:
    if not wrong:
        return ProbeResult.ok(f"milter: {url} answers{who}")
    path = url.removeprefix("unix:")
    if not url.startswith("unix:"):
        advice = "see with `systemctl status stopit-milter` whether it runs, and whether a firewall is between"
    elif "ermission" in wrong:
        advice = (
            f"{Path(path).parent} must have mode 2750 and owner stopit:postfix, and the socket's group be postfix: "
            "restart stopit-milter, which sees to that"
        )
    else:
        advice = "see with `systemctl status stopit-milter` whether it runs, and milter.socket for the path"
    return ProbeResult.fault(f"milter: {url} cannot be used{who}: {wrong}", advice)
