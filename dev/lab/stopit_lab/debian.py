"""A whole Debian in a directory, booted with its own systemd.

`Image.make` installs one with mmdebstrap(1) through this machine's apt; `Host` boots a copy of it with
systemd-nspawn(1), in its own namespaces (processes, mounts, network), and runs commands in it.

Commands enter it as follows. The container is not registered with machined, which a build machine lacks, so
machinectl(1) does not work. nsenter(1) alone would leave the command in this machine's control groups, with all
capabilities. So nsenter only reaches the guest's systemd, and `systemd-run --pipe --wait` starts the command as a
unit of the guest, with its limits and journal, and returns its exit status and both streams.
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
"""Programs that are needed to make and boot a Debian, besides the rights of root."""

_SUITE = "bookworm"
_MAKE = 600.0
_BOOT = 120.0
_RUN = 120.0
_END = 60.0
_UNREACHABLE = ("Could not resolve", "Could not connect", "Unable to connect", "Temporary failure", "Failed to fetch")
_PROPAGATE = Path("/run/systemd/nspawn/propagate")


class NoDebianError(Exception):
    """This machine cannot make or boot a Debian, with the reason."""


@dataclass(frozen=True, slots=True)
class Done:
    """A finished command: its exit status and its output."""

    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit status {self.code}\n{self.out}{self.err}"


class Image:
    """An unbooted Debian, from which hosts are copied."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def make(cls, directory: Path, packages: Sequence[str]) -> Self:
        """Install a minimal Debian with these packages in `directory`. Raises NoDebianError if no mirror answers."""
        # The image is temporary, so it need not be synced to the disk.
        command = ["mmdebstrap", "--variant=minbase", "--quiet", "--dpkgopt=force-unsafe-io"]
        command += [f"--include={','.join(packages)}", _SUITE, str(directory)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_MAKE, cwd="/")
        if done.returncode:
            said = f"{' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}"
            raise NoDebianError(said) if any(sign in said for sign in _UNREACHABLE) else RuntimeError(said)
        return cls(directory)

    @contextlib.contextmanager
    def root(self, directory: Path) -> Iterator[Path]:
        """Provide a root to boot from, in `directory`, until the block ends. Its changes do not affect the image."""
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
        else:  # overlayfs does not stack on itself, as in a container whose root is an overlay
            source = f"{self.directory}/."
            subprocess.run(["cp", "--archive", "--reflink=auto", source, str(root)], check=True)
            yield root


class Host:
    """A booted Debian. `directory` holds its root, and keeps its changes.

    Leaving the `with` block ends it at once. It also ends with this process.
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
        """The process id of the guest's systemd, seen from outside."""
        if self._leader is None:
            raise RuntimeError(f"{self._hostname} is not booted")
        return self._leader

    def boot(self) -> None:
        """Boot, and return when systemd has started everything. Raises NoDebianError if nspawn cannot boot it."""
        self._spawn()
        self._wait_until_up()

    def reboot(self) -> None:
        """Shut down as `systemctl reboot` does, boot again, and return when everything has started."""
        before = self.leader
        self.run("systemctl", "reboot", check=False)
        until(lambda: not Path(f"/proc/{before}").exists(), f"the end of {self._hostname}", _END)
        # nspawn boots it again by itself, or exits with 133 for the caller to do so
        nspawn = self._nspawn
        until(lambda: nspawn is None or nspawn.poll() is not None or self._found(), "what nspawn does next", _END)
        if nspawn is not None and nspawn.poll() is not None:
            self._spawn()
        self._wait_until_up()

    def power_off(self) -> None:
        """Shut down in order, and return when none of its processes is left."""
        self.run("systemctl", "poweroff", check=False)
        if self._nspawn:
            self._nspawn.wait(_END)
        self._leader = None

    def close(self) -> None:
        """End it like a power failure. Does nothing if it does not run."""
        nspawn, self._nspawn = self._nspawn, None
        leader, self._leader = self._leader, None
        if nspawn is None:
            return
        # The guest's systemd first: all its processes end with it, and nspawn with the last. If nspawn ended first,
        # they would continue to write for a moment.
        with contextlib.suppress(ProcessLookupError, subprocess.TimeoutExpired):
            os.kill(leader or nspawn.pid, signal.SIGKILL)
            nspawn.wait(_END)
        nspawn.kill()
        nspawn.wait()
        with contextlib.suppress(OSError):
            (_PROPAGATE / self._machine).rmdir()  # left by nspawn 252

    def run(
        self,
        *command: str,
        input: str = "",  # noqa: A002  as subprocess.run calls it
        check: bool = True,
        properties: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        timeout: float = _RUN,
    ) -> Done:
        """Run a command as root in the guest, as a unit with these properties ("User=postfix").

        Raises RuntimeError with all output if it fails, unless `check` is False.
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
        """Run lines of bash as root in the guest. Stops at the first that fails."""
        return self.run("bash", "-euo", "pipefail", "-s", input=script, check=check)

    def path(self, inside: str | Path) -> Path:
        """Return the path, seen from outside, of a file on the guest's disk (not in /tmp, /run or /proc)."""
        return self.directory / str(inside).lstrip("/")

    def copy(self, source: Path, inside: str) -> None:
        """Copy a file or a directory of this machine to the guest's disk."""
        if source.is_dir():
            shutil.copytree(source, self.path(inside))
        else:
            shutil.copy(source, self.path(inside))

    def write(self, inside: str, text: str) -> None:
        """Write text to a file on the guest's disk, owned by root and readable by all."""
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def show(self, unit: str, name: str) -> str:
        """Return a property of a unit, as `systemctl show` prints it."""
        # Called often while something is waited for, so without a unit.
        return self._inside("systemctl", "show", "--property", name, "--value", unit).out.strip()

    def journal(self, *units: str) -> str:
        """Return the journal of these units (of all, if none is named) since the boot."""
        named = [part for unit in units for part in ("--unit", unit)]
        return self._inside("journalctl", "--no-pager", "--boot", "--output=short-precise", *named).out

    def connect(self, port: int, timeout: float = 30.0) -> socket.socket:
        """Open a TCP connection to the guest's 127.0.0.1. Raises OSError."""
        return netns.connect(self.leader, HOST, port, timeout)

    def console_text(self) -> str:
        """Return its console output."""
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
        """Return the guest's systemd among nspawn's children: the process that is number 1 in its namespace."""
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
