"""A whole Debian in a directory, booted with its own systemd: for what only a real system shows.

`Image.make` installs one with mmdebstrap(1), by this machine's own apt; `Host` boots a copy of it by
systemd-nspawn(1), in namespaces of its own (processes, mounts, network), and runs commands in it.

How a command gets in: the container is not registered with machined, which a build machine does not have, so
machinectl(1) cannot. nsenter(1) alone would leave the command in this machine's control groups and with all its
capabilities. So nsenter only reaches the guest's systemd, and `systemd-run --pipe --wait` has that start the command:
as a unit of the guest, with its limits, its journal, and the exit status and both streams handed back.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from stopit_lab import netns
from stopit_lab.ports import HOST
from stopit_lab.waiting import until

__all__ = ["TOOLS", "Done", "Host", "Image", "NoDebianError"]

TOOLS = ("mmdebstrap", "systemd-nspawn", "nsenter", "setpriv", "dpkg-deb")
"""Programs that making and booting a Debian takes, beside the rights of root."""

_SUITE = "bookworm"
_MAKE = 600.0
_BOOT = 120.0
_RUN = 120.0
_END = 60.0
_UNREACHABLE = ("Could not resolve", "Could not connect", "Unable to connect", "Temporary failure", "Failed to fetch")
_PROPAGATE = Path("/run/systemd/nspawn/propagate")


class NoDebianError(Exception):
    """This machine can make or boot no Debian, and the reason."""


@dataclass(frozen=True, slots=True)
class Done:
    """A command that has ended: its exit status, and what it wrote."""

    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit status {self.code}\n{self.out}{self.err}"


class Image:
    """A Debian that nobody has booted yet: the one that hosts are copied from."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def make(cls, directory: Path, packages: Sequence[str]) -> Self:
        """Install a minimal Debian with these packages in `directory`. Raises NoDebianError: no mirror answers."""
        # The image is thrown away, so nothing of it needs to be on the disk for sure.
        command = ["mmdebstrap", "--variant=minbase", "--quiet", "--dpkgopt=force-unsafe-io"]
        command += [f"--include={','.join(packages)}", _SUITE, str(directory)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_MAKE, cwd="/")
        if done.returncode:
            said = f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}"
            raise NoDebianError(said) if any(sign in said for sign in _UNREACHABLE) else RuntimeError(said)
        return cls(directory)

    @contextlib.contextmanager
    def root(self, directory: Path) -> Iterator[Path]:
        """A root to boot from, in `directory`, until the block ends: what is changed there stays out of the image."""
        root, upper, work = (directory / name for name in ("root", "upper", "work"))
        for part in (root, upper, work):
            part.mkdir(mode=0o755, parents=True)
        layers = f"lowerdir={self.directory},upperdir={upper},workdir={work}"
        mounted = subprocess.run(
            ["mount", "-t", "overlay", "overlay", "-o", layers, str(root)], capture_output=True, check=False
        )
        if mounted.returncode == 0:
            try:
                yield root
            finally:
                subprocess.run(["umount", str(root)], check=True)
        else:  # no overlay on an overlay, such as a container's own root
            source = f"{self.directory}/."
            subprocess.run(["cp", "--archive", "--reflink=auto", source, str(root)], check=True)
            yield root


class Host:
    """A booted Debian. `directory` holds its root; what is changed in it stays there.

    Leaving the `with` block ends it, at once and whatever it does. It ends with this process, too.
    """

    def __init__(self, directory: Path, hostname: str) -> None:
        self.directory = directory
        self.console = directory.parent / f"{directory.name}.console"
        self._hostname = hostname
        self._machine = f"stopit-{secrets.token_hex(4)}"
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader: int | None = None

    def __enter__(self) -> Self:
        try:
            self.boot()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def leader(self) -> int:
        """The process id, seen from outside, of the guest's systemd."""
        if self._leader is None:
            raise RuntimeError(f"{self._hostname} is not booted")
        return self._leader

    def boot(self) -> None:
        """Boot, and return when systemd has started all it is to start. Raises NoDebianError where nspawn cannot."""
        self._spawn()
        self._wait_until_up()

    def reboot(self) -> None:
        """Shut down as `systemctl reboot` does, boot again, and return when all has started."""
        before = self.leader
        self.run("systemctl", "reboot", check=False)
        until(lambda: not Path(f"/proc/{before}").exists(), f"the end of {self._hostname}", _END)
        # nspawn boots it again by itself, or leaves that to whoever started it (133).
        nspawn = self._nspawn
        until(lambda: nspawn is None or nspawn.poll() is not None or self._found(), "what nspawn does next", _END)
        if nspawn is not None and nspawn.poll() is not None:
            self._spawn()
        self._wait_until_up()

    def power_off(self) -> None:
        """Shut down in order, and return when nothing of it runs."""
        self.run("systemctl", "poweroff", check=False)
        if self._nspawn:
            self._nspawn.wait(_END)
        self._leader = None

    def close(self) -> None:
        """End it as a power cut would. Ending what does not run is nothing."""
        nspawn, self._nspawn = self._nspawn, None
        leader, self._leader = self._leader, None
        if nspawn is None:
            return
        # The guest's systemd first: all its processes end with it, and nspawn when the last is gone. After nspawn's
        # own end they would go on writing for a moment.
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.kill(leader or nspawn.pid, signal.SIGKILL)
            nspawn.wait(_END)
        nspawn.kill()
        nspawn.wait()
        with contextlib.suppress(OSError):
            (_PROPAGATE / self._machine).rmdir()  # what nspawn 252 leaves

    def run(
        self,
        *command: str,
        input: str = "",  # noqa: A002  as subprocess.run calls it
        check: bool = True,
        properties: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        timeout: float = _RUN,
    ) -> Done:
        """Run a command as root in the guest, as a unit of its own with these properties ("User=postfix").

        Raises RuntimeError with all it wrote when it fails, unless `check` is False.
        """
        settings = {"LANG": "C.UTF-8", "HOME": "/root", "COLUMNS": "80", "NO_COLOR": "1", **(environment or {})}
        unit = ["systemd-run", "--pipe", "--wait", "--quiet", "--collect"]
        unit += [f"--setenv={name}={value}" for name, value in settings.items()]
        unit += [f"--property={line}" for line in properties]
        done = self._inside(*unit, "--", *command, input=input, timeout=timeout)
        if check and done.code:
            raise RuntimeError(f"{' '.join(command)}: {done}")
        return done

    def shell(self, script: str, check: bool = True) -> Done:
        """Run lines of bash as root in the guest; the first that fails ends them."""
        return self.run("bash", "-euo", "pipefail", "-s", input=script, check=check)

    def path(self, inside: str | Path) -> Path:
        """Where a file of the guest's disk is, seen from outside. Not for what it mounts (/tmp, /run, /proc)."""
        return self.directory / str(inside).lstrip("/")

    def copy(self, source: Path, inside: str) -> None:
        """Put a file or a directory of this machine on the guest's disk."""
        if source.is_dir():
            shutil.copytree(source, self.path(inside))
        else:
            shutil.copy(source, self.path(inside))

    def write(self, inside: str, text: str) -> None:
        """Put text into a file of the guest's disk, of root and readable by all."""
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def show(self, unit: str, name: str) -> str:
        """A property of a unit, as `systemctl show` gives it."""
        # Asked for often, while something is waited for; so without a unit of its own.
        return self._inside("systemctl", "show", "--property", name, "--value", unit).out.strip()

    def journal(self, *units: str) -> str:
        """What these units (all, where none is named) have said since the boot."""
        named = [part for unit in units for part in ("--unit", unit)]
        return self._inside("journalctl", "--no-pager", "--boot", "--output=short-precise", *named).out

    def connect(self, port: int, timeout: float = 30.0) -> socket.socket:
        """A TCP connection to the guest's own 127.0.0.1. Raises OSError."""
        return netns.connect(self.leader, HOST, port, timeout)

    def console_text(self) -> str:
        """What it wrote to its console."""
        return self.console.read_text("utf-8", "replace") if self.console.exists() else ""

    def _spawn(self) -> None:
        self.write("/etc/hostname", f"{self._hostname}\n")
        name = self._hostname
        self.write("/etc/hosts", f"127.0.0.1 localhost\n127.0.1.1 {name} {name.partition('.')[0]}\n")
        command = [
            "setpriv",
            "--pdeathsig=KILL",
            "systemd-nspawn",
            "--boot",
            "--register=no",
            "--keep-unit",
            "--quiet",
            "--settings=no",
            "--private-network",
            "--resolv-conf=off",
            "--link-journal=no",
            "--console=read-only",
            f"--machine={self._machine}",
            f"--hostname={self._hostname}",
            f"--directory={self.directory}",
        ]
        with self.console.open("ab") as console:
            self._nspawn = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True, cwd="/"
            )

    def _found(self) -> int | None:
        """The guest's systemd among nspawn's children: the one that is process 1 where it lives."""
        if self._nspawn is None:
            return None
        with contextlib.suppress(OSError):
            pid = self._nspawn.pid
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
                status = Path(f"/proc/{child}/status").read_text()
                inner = status.partition("\nNSpid:")[2].partition("\n")[0].split()
                if inner[-1:] == ["1"] and Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                    return int(child)
        return None

    def _wait_until_up(self) -> None:
        nspawn = self._nspawn

        def ended_or_found() -> bool:
            return nspawn is None or nspawn.poll() is not None or self._found() is not None

        until(ended_or_found, "the guest's systemd", _BOOT)
        self._leader = self._found()
        if self._leader is None:
            raise NoDebianError(f"systemd-nspawn booted nothing:\n{self.console_text()}")
        until(self._is_up, f"the boot of {self._hostname}", _BOOT)

    def _is_up(self) -> bool:
        return self._inside("systemctl", "is-system-running").out.strip() in ("running", "degraded")

    def _inside(self, *command: str, input: str = "", timeout: float = _RUN) -> Done:  # noqa: A002
        enter = ["nsenter", f"--target={self.leader}", "--all", "--", *command]
        done = subprocess.run(
            enter,
            input=input,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=timeout,
            cwd="/",
        )
        return Done(done.returncode, done.stdout, done.stderr)
