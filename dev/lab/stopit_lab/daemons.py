"""A daemon, run as systemd runs it: readiness by sd_notify(3), signals, and a log in a file."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from prometheus_client.parser import text_string_to_metric_families

from stopit_lab.waiting import PATIENCE, TooLate

__all__ = ["Daemon", "Metrics", "Process", "program", "read_metrics", "scrape"]


def program(name: str) -> str:
    """Return the path of one of our installed programs, such as "stopit-milter"."""
    return str(Path(sys.executable).with_name(name))


class Process(Protocol):
    """The part of subprocess.Popen that `Daemon` uses."""

    @property
    def pid(self) -> int:
        """The process id."""

    def poll(self) -> int | None:
        """Return the exit code, or minus the number of the signal; None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, and return what `poll` does. Raises subprocess.TimeoutExpired."""

    def terminate(self) -> None:
        """Send SIGTERM."""

    def kill(self) -> None:
        """Send SIGKILL. Does nothing after its end."""


class Daemon:
    """A process that sends READY=1 when it is ready.

    `command` is the whole command line. All output of the process is appended to `log`. `environ` overrides this
    process's environment.
    """

    def __init__(
        self, name: str, command: Sequence[str], directory: Path, environ: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = directory / f"{name}.log"
        self._command = tuple(command)
        self._environ = dict(environ or {})
        self._notify = directory / f"{name}.notify"
        self._process: Process | None = None
        self._channel: socket.socket | None = None

    @property
    def running(self) -> bool:
        """True while the process runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id. Raises RuntimeError if it was not started."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process.pid

    def start(self) -> None:
        """Start it, and return when it is ready. Raises RuntimeError with its log if it ends or is late."""
        self.launch()
        try:
            self.wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def launch(self) -> None:
        """Start it, and return at once."""
        self._close_channel()
        self._notify.unlink(missing_ok=True)
        self._channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._channel.bind(str(self._notify))
        # Temporary files that a killed process leaves are removed with the site.
        own = {"NOTIFY_SOCKET": str(self._notify), "TMPDIR": str(self.log.parent)}
        self._process = self._spawn({**os.environ, **own, **self._environ})

    def wait_until_ready(self, timeout: float = PATIENCE) -> None:
        """Return at its next READY=1, after a start or a reload."""
        if self._channel is None:
            raise RuntimeError(f"{self.name} was not started")
        deadline = time.monotonic() + timeout
        self._channel.settimeout(0.1)
        while time.monotonic() < deadline:
            try:
                if b"READY=1" in self._channel.recv(4096).split(b"\n"):
                    return
            except TimeoutError:
                if not self.running:
                    raise RuntimeError(f"{self.name} ended with {self.wait()}:\n{self.log_text()}") from None
        raise TooLate(f"{self.name} was not ready within {timeout:g} s:\n{self.log_text()}")

    def reload(self) -> None:
        """Send SIGHUP, and return when it is ready again."""
        os.kill(self.pid, signal.SIGHUP)
        self.wait_until_ready()

    def terminate(self, timeout: float = PATIENCE) -> int:
        """Send SIGTERM, and return its exit code. Returns 0 if it does not run."""
        if self._process is None:
            return 0
        self._process.terminate()
        try:
            return self.wait(timeout)
        finally:
            self.kill()

    def kill(self) -> None:
        """Send SIGKILL to the process and all its children at once, like a power failure."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()  # also one that has no session of its own yet
        self._process.wait()
        self._process = None
        self._close_channel()

    def wait(self, timeout: float = PATIENCE) -> int:
        """Wait for the end of the process. Returns its exit code, or minus the number of the signal."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TooLate(f"{self.name} did not end within {timeout:g} s:\n{self.log_text()}") from None

    def log_text(self) -> str:
        """Return its log."""
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def _spawn(self, environ: Mapping[str, str]) -> Process:
        """Start the process, in a session of its own and with its output in `log`."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=environ,
            )

    def _close_channel(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None


class Metrics:
    """One scrape: a map of sample name and labels to value."""

    def __init__(self, samples: Iterable[tuple[str, Mapping[str, str], float]]) -> None:
        self._values = {(name, frozenset(labels.items())): value for name, labels, value in samples}

    def value(self, name: str, **labels: str) -> float:
        """Return the value of exactly this series. Raises KeyError if it does not exist."""
        return self._values[(name, frozenset(labels.items()))]

    def total(self, name: str) -> float:
        """Return the sum over all series of this name."""
        return sum(value for (sample, _), value in self._values.items() if sample == name)

    def series(self) -> list[tuple[str, dict[str, str], float]]:
        """Return all samples: name, labels, value."""
        items = sorted(self._values.items(), key=lambda item: (item[0][0], sorted(item[0][1])))
        return [(name, dict(sorted(labels)), value) for (name, labels), value in items]


def scrape(address: str) -> Metrics:
    """Scrape the metrics at "host:port". Raises OSError if nothing listens there."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as page:
        return read_metrics(page.read().decode())


def read_metrics(text: str) -> Metrics:
    """Parse a page of metrics in Prometheus's text format."""
    families = text_string_to_metric_families(text)
    return Metrics((sample.name, sample.labels, sample.value) for family in families for sample in family.samples)
