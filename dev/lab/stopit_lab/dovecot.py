"""A private Dovecot that checks passwords for Postfix's SASL (RFC 4954)."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from stopit_lab.waiting import until

__all__ = ["Dovecot"]

_CONFIG = """\
base_dir = {run}
state_dir = {run}
log_path = {log}
protocols =
ssl = no
auth_mechanisms = plain login
auth_failure_delay = 0
disable_plaintext_auth = no
passdb {{
  driver = passwd-file
  args = scheme=PLAIN username_format=%u {passwords}
}}
userdb {{
  driver = static
  args = uid=5000 gid=5000 home=/nonexistent
}}
service auth {{
  unix_listener {socket} {{
    mode = 0660
    group = postfix
  }}
}}
"""


class Dovecot:
    """An auth server with these passwords (login to password), listening at `socket`. Needs root."""

    def __init__(self, directory: Path, passwords: Mapping[str, str]) -> None:
        self.directory = directory
        self.socket = directory / "auth"
        self.log = directory / "log"
        self._passwords = dict(passwords)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return when the socket exists. Raises RuntimeError with the log if it does not appear."""
        self.directory.mkdir(mode=0o755, exist_ok=True)
        passwords = self.directory / "passwords"
        passwords.write_text("".join(f"{login}:{{PLAIN}}{word}\n" for login, word in self._passwords.items()))
        config = self.directory / "dovecot.conf"
        run = self.directory / "run"
        config.write_text(_CONFIG.format(run=run, log=self.log, passwords=passwords, socket=self.socket))
        self._process = process = subprocess.Popen(["dovecot", "-F", "-c", str(config)], stderr=subprocess.PIPE)
        try:
            until(lambda: self.socket.exists() or process.poll() is not None, "Dovecot's socket")
        except BaseException:
            self.stop()
            raise
        if process.poll() is not None:
            complaint = process.stderr.read().decode() if process.stderr else ""
            self.stop()
            raise RuntimeError(f"dovecot did not start: {complaint}\n{self.log_text()}")

    def stop(self) -> None:
        """Stop it. Does nothing if it does not run."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        process.wait()
        if process.stderr:
            process.stderr.close()

    def log_text(self) -> str:
        """Return its log."""
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""
