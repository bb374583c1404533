"""Other mail filters in Debian, with the default configuration of their packages and as little work as possible."""

from __future__ import annotations

import shutil
import stat
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from stopit_bench.site import CAMPUS
from stopit_lab.waiting import until

__all__ = ["Peer", "opendkim", "rspamd"]

_START = 30.0

_OPENDKIM = """\
Socket local:{socket}
Mode s
Domain {campus}
Selector mail
KeyFile {directory}/key.pem
Canonicalization relaxed/simple
Syslog no
Background no
RequireSafeKeys no
"""

_RSPAMD = """\
options {{
  pidfile = "{directory}/rspamd.pid";
  filters = "";
  tempdir = "{directory}";
  cores_dir = "{directory}";
  control_socket = "{directory}/control.sock mode=0600";
  url_tld = "/usr/share/rspamd/effective_tld_names.dat";
  dns {{ nameserver = ["127.0.0.1"]; timeout = 0.1s; retransmits = 0; }}
}}
logging {{ type = "file"; filename = "{directory}/rspamd.log"; level = "error"; }}
worker "rspamd_proxy" {{
  bind_socket = "{socket} mode=0666";
  milter = yes;
  timeout = 30s;
  count = 1;
  upstream "local" {{ default = yes; self_scan = yes; }}
}}
"""


class Peer:
    """A filter below `directory`, which it creates. `letter` is its reply to all mail: "a" for accept.

    The path of the configuration is appended to `command`. `prepare` is called with the directory before the start.
    """

    letter = "a"

    def __init__(
        self, directory: Path, command: Sequence[str], configuration: str, prepare: Callable[[Path], object]
    ) -> None:
        self._directory = directory
        self._path = directory / "peer.sock"
        self.socket = f"unix:{self._path}"
        self._configuration = configuration.format(socket=self._path, directory=directory, campus=CAMPUS)
        self._command = [*command, str(directory / "peer.conf")]
        self._prepare = prepare
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id. Raises RuntimeError if it does not run."""
        if self._process is None:
            raise RuntimeError(f"{self._command[0]} was not started")
        return self._process.pid

    def __enter__(self) -> Self:
        self._directory.mkdir(mode=0o755)
        self._prepare(self._directory)
        (self._directory / "peer.conf").write_text(self._configuration)
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until(self._listens, f"the socket {self._path}", _START)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _listens(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"{' '.join(self._command)} ended with {self._process.returncode}")
        return self._path.exists() and stat.S_ISSOCK(self._path.stat().st_mode)

    def _end(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_START)
            finally:
                self._process.kill()
                self._process = None


def opendkim(directory: Path) -> Peer:
    """Return an OpenDKIM that signs all mail with a 2048-bit RSA key."""

    def make_key(place: Path) -> None:
        command = ["openssl", "genrsa", "-out", str(place / "key.pem"), "2048"]
        subprocess.run(command, check=True, capture_output=True)

    return Peer(directory, ["/usr/sbin/opendkim", "-f", "-x"], _OPENDKIM, make_key)


def rspamd(directory: Path) -> Peer:
    """Return an rspamd proxy that scans by itself, in one process, with all modules off. Its -i allows root."""

    def give_away(place: Path) -> None:
        shutil.chown(place, "_rspamd")

    return Peer(directory, ["/usr/bin/rspamd", "-f", "-i", "-c"], _RSPAMD, give_away)
