"""The C programs, built with gcc: the filter to compare with, and the MTA's side of the milter protocol."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from stopit_lab.waiting import until

__all__ = ["Load", "Noop", "NoopKind", "Tools"]

_SOURCES = Path(__file__).parents[1] / "c"
_SETTLE = 10.0


class Load(msgspec.Struct, frozen=True):
    """The report of milterload on one run. Times in microseconds; replies and edits by the protocol's letters."""

    messages: int
    seconds: float
    per_second: float
    p50_us: int
    p99_us: int
    max_us: int
    bytes_out: int
    steps: str
    replies: dict[str, int]
    changes: dict[str, int]

    def require(self, letter: str) -> Load:
        """Return itself. Raises RuntimeError unless every message got this reply."""
        if self.replies != {letter: self.messages}:
            raise RuntimeError(f"expected {self.messages} times {letter!r}, got {self.replies}")
        return self


@dataclass(frozen=True, slots=True)
class Tools:
    """The built programs."""

    noop: Path
    milterload: Path

    @classmethod
    def build(cls, directory: Path) -> Tools:
        """Compile both into `directory`. Raises RuntimeError with the output of the compiler."""
        return cls(
            _compile("noop", directory, ["-w"], ["-lmilter", "-lpthread"]),
            _compile("milterload", directory, ["-Wno-misleading-indentation"], ["-lpthread", "-lm"]),
        )

    def load(
        self,
        socket: str,
        messages: int,
        *,
        body: int = 2000,
        connections: int = 4,
        rate: float = 0.0,
        poisson: bool = False,
    ) -> Load:
        """Send messages through the milter at `socket` ("unix:/path"), at `rate` per second; 0 means unlimited."""
        paced = ["-r", f"{rate:.3f}", *(["-p"] if poisson else [])] if rate else []
        command = [str(self.milterload), *paced, socket, str(connections), str(messages), str(body)]
        done = subprocess.run(command, capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.returncode}: {done.stderr.decode('utf-8', 'replace')}")
        return msgspec.json.decode(done.stdout, type=Load)


class NoopKind(StrEnum):
    """The steps that the C filter sees: all, or those until end of headers, where it accepts (the lower limit)."""

    ALL = "all"
    EOH = "eoh"


class Noop:
    """The C filter that does nothing, on a socket below `directory`."""

    def __init__(self, tools: Tools, kind: NoopKind, directory: Path) -> None:
        self.kind = kind
        self._path = directory / f"noop-{kind}.sock"
        self.socket = f"unix:{self._path}"
        self.letter = "a" if kind is NoopKind.EOH else "c"
        self._command = [str(tools.noop), self.socket, kind.value]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)
        until(self._path.exists, f"the socket {self._path}", _SETTLE)
        self._path.chmod(0o666)  # smtpd does not run as root
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    @property
    def pid(self) -> int:
        """The process id. Raises RuntimeError if it does not run."""
        if self._process is None:
            raise RuntimeError("the C filter was not started")
        return self._process.pid


def _compile(name: str, directory: Path, flags: list[str], libraries: list[str]) -> Path:
    target = directory / name
    command = ["gcc", "-O2", *flags, "-o", str(target), str(_SOURCES / f"{name}.c"), *libraries]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    return target
