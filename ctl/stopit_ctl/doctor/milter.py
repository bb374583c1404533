"""Probes the milter as the MTA reaches it: by its socket, as the MTA's user, from inside its chroot.

A frequent fault of milters is a socket that exists and that Postfix cannot reach: smtpd runs as user postfix, with
/var/spool/postfix as its root directory. So the probe runs in a child process with this user and root directory.

The first step of the milter protocol (`milter_probe`) shows whether a milter answers.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stopit_core.daemon.milter_probe import connect, connect_unix, greet
from stopit_ctl.probe_results import ProbeResult

__all__ = ["probe_milter", "run_in_child"]

_POSTFIX = "postfix"
_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True)
class _Chroot:
    """The root directory and the user of the MTA's smtpd."""

    directory: Path
    user: pwd.struct_passwd

    def enter(self) -> None:
        """Change this process to that user and root directory, for good. Needs root; call it in a child process."""
        groups = os.getgrouplist(self.user.pw_name, self.user.pw_gid)
        os.chroot(self.directory)
        os.chdir("/")
        os.setgroups(groups)
        os.setgid(self.user.pw_gid)
        os.setuid(self.user.pw_uid)


def probe_milter(url: str, queue_directory: Path | None) -> Iterator[ProbeResult]:
    """Probe the milter at "unix:/path" or "inet:port@host". `queue_directory`: Postfix's; None without a Postfix."""
    kind, _, place = url.partition(":")
    if kind == "inet":
        yield _result(url, greet(lambda: connect(url, _TIMEOUT)), "")
        return
    path = Path(place)
    try:
        user = pwd.getpwnam(_POSTFIX)
    except KeyError:
        user = None
    if user is None or queue_directory is None or os.geteuid() != 0:
        why = "run doctor as root" if os.geteuid() != 0 else "there is no Postfix on this host"
        yield _result(url, greet(lambda: connect_unix(path, _TIMEOUT)), "")
        yield ProbeResult.untried(f"milter: whether user {_POSTFIX} can connect to {url}", why)
        return
    inside = path.is_relative_to(queue_directory)
    chroot = _Chroot(queue_directory if inside else Path("/"), user)
    seen = Path("/") / path.relative_to(queue_directory) if inside else path

    def enter_and_greet() -> str:
        chroot.enter()
        return greet(lambda: connect_unix(seen, _TIMEOUT))

    who = f" as user {_POSTFIX}" + (f" from inside {queue_directory}" if inside else "")
    yield _result(url, run_in_child(enter_and_greet), who)


def run_in_child(work: Callable[[], str]) -> str:
    """Return the result of `work`, or its error, from a child process, which can give up its rights for good."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001  the child must not return into the parent's code
            result = f"{type(error).__name__}: {error}"
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(result.encode("utf-8", "backslashreplace"))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        result = pipe.read().decode("utf-8")
    os.waitpid(child, 0)
    return result


def _result(url: str, error: str, who: str) -> ProbeResult:
    if not error:
        return ProbeResult.ok(f"milter: {url} answers{who}")
    path = url.removeprefix("unix:")
    status = "`systemctl status stopit-milter` shows whether it runs"
    if not url.startswith("unix:"):
        advice = f"{status}; also look for a firewall in between"
    elif "ermission" in error:
        advice = (
            f"{Path(path).parent} must have mode 2750 and owner stopit:postfix, and the socket must have group "
            "postfix: restart stopit-milter, which sets both"
        )
    else:
        advice = f"{status}; milter.socket sets the path"
    return ProbeResult.fault(f"milter: {url} cannot be used{who}: {error}", advice)
