"""A description of the machine that was measured."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec

from stopit_core import __version__

__all__ = ["Machine", "this_machine"]

_PACKAGES = ("postfix", "redis-server", "libmilter1.0.1", "opendkim", "rspamd")


class Machine(msgspec.Struct, frozen=True):
    """A machine and its installed packages."""

    cores: int
    cpu: str
    memory_gib: float
    kernel: str
    system: str
    python: str
    stopit: str
    packages: dict[str, str]

    @property
    def hardware(self) -> str:
        """The hardware in words. Times of two runs are comparable only on the same hardware."""
        return f"{self.cores} cores, {self.cpu}, {self.memory_gib:g} GiB"


def this_machine() -> Machine:
    """Return the description of this machine."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        cpu=_field(Path("/proc/cpuinfo"), "model name", ":"),
        memory_gib=round(pages / 2**30),
        kernel=platform.release(),
        system=_field(Path("/etc/os-release"), "PRETTY_NAME", "=").strip('"'),
        python=platform.python_version(),
        stopit=__version__ + _revision(),
        packages=_installed(_PACKAGES),
    )


def _field(path: Path, name: str, separator: str) -> str:
    for line in path.read_text("utf-8", "replace").splitlines():
        key, _, value = line.partition(separator)
        if key.strip() == name:
            return value.strip()
    return "unknown"


def _revision() -> str:
    """Return the commit in parentheses, or "" outside a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return f" ({done.stdout.strip()})" if done.returncode == 0 else ""


def _installed(names: Sequence[str]) -> dict[str, str]:
    command = ["dpkg-query", "-W", "-f", "${db:Status-Abbrev}\t${Package}\t${Version}\n", *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    return {name: version for status, name, version in rows if status.startswith("ii")}
