"""One of the daemons as systemd would run it: readiness by sd_notify(3), signals, and the log in a file."""

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

from prometheus_client.parser import text_string_to_metric_families

from stopit_lab.waiting import PATIENCE, TooLate

__all__ = ["Daemon", "Metrics", "program", "read_metrics", "scrape"]


def program(name: str) -> str:
    """The path of an installed program of ours, such as "stopit-milter"."""
    return str(Path(sys.executable).with_name(name))


class Daemon:
    """A process that says READY=1 when it does its work.

    `command` is the whole command line. Everything the process writes goes to `log`; a new start appends.
    `environ` goes over the environment that there is.
    """

    def __init__(
        self, name: str, command: Sequence[str], directory: Path, environ: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = directory / f"{name}.log"
        self._command = tuple(command)
        self._environ = dict(environ or {})
        self._notify = directory / f"{name}.notify"
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id. Raises RuntimeError when it was not started."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        return self._process.pid

    def start(self) -> None:
        """Start, and return when it is ready. Raises RuntimeError with its log when it ends or is not in time."""
        self.launch()
        try:
            self.wait_until_ready()
        except BaseException:
            self.kill()
            raise

    def launch(self) -> None:
        """Start, and return at once."""
        self._close_channel()
        self._notify.unlink(missing_ok=True)
        self._channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._channel.bind(str(self._notify))
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                # What a killed process leaves among the temporary files goes with the site.
                env={
                    **os.environ,
                    "NOTIFY_SOCKET": str(self._notify),
                    "TMPDIR": str(self.log.parent),
                    **self._environ,
                },
            )

    def wait_until_ready(self, timeout: float = PATIENCE) -> None:
        """Return at its next READY=1: after a start, or after a reload."""
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
        """SIGHUP, and return when it is ready again."""
        os.kill(self.pid, signal.SIGHUP)
        self.wait_until_ready()

    def terminate(self, timeout: float = PATIENCE) -> int:
        """SIGTERM, and return how it ended. Ending what does not run is nothing (0)."""
        if self._process is None:
            return 0
        self._process.terminate()
        try:
            return self.wait(timeout)
        finally:
            self.kill()

    def kill(self) -> None:
        """SIGKILL to the process and all its children at once, as a power cut would."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None
        self._close_channel()

    def wait(self, timeout: float = PATIENCE) -> int:
        """Return when the process has ended: its exit code, or minus the signal's number."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was not started")
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise TooLate(f"{self.name} did not end within {timeout:g} s:\n{self.log_text()}") from None

    def log_text(self) -> str:
        """What it has written."""
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def _close_channel(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None


class Metrics:
    """One scrape: sample name and labels to value."""

    def __init__(self, samples: Iterable[tuple[str, Mapping[str, str], float]]) -> None:
        self._values = {(name, frozenset(labels.items())): value for name, labels, value in samples}

    def value(self, name: str, **labels: str) -> float:
        """The value of exactly this series. Raises KeyError when it is not there."""
        return self._values[(name, frozenset(labels.items()))]

    def total(self, name: str) -> float:
        """The sum over all series of this name."""
        return sum(value for (sample, _), value in self._values.items() if sample == name)

    def series(self) -> list[tuple[str, dict[str, str], float]]:
        """All samples, by name and labels."""
        items = sorted(self._values.items(), key=lambda item: (item[0][0], sorted(item[0][1])))
        return [(name, dict(sorted(labels)), value) for (name, labels), value in items]


def scrape(address: str) -> Metrics:
    """The metrics at "host:port", as Prometheus reads them. Raises OSError when nobody answers."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as page:
        return read_metrics(page.read().decode())


def read_metrics(text: str) -> Metrics:
    """A page of metrics in Prometheus's text format."""
    families = text_string_to_metric_families(text)
    return Metrics((sample.name, sample.labels, sample.value) for family in families for sample in family.samples)
