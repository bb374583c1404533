"""A minimal private Postfix: one smtpd listener per milter, and discard(8) as the transport of all mail.

The listeners share one queue manager, one cleanup service and one disk, so they differ in the milter only. Needs
root, because Postfix runs its daemons as different users. The system's own Postfix is not changed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from stopit_lab.ports import HOST, spare_ports
from stopit_lab.waiting import until

__all__ = ["DiscardPostfix", "Injection"]

_MAIN = """\
compatibility_level = 3.7
multi_instance_name = postfix-{name}
queue_directory = {directory}/queue
data_directory = {directory}/data
daemon_directory = /usr/lib/postfix/sbin
command_directory = /usr/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {directory}/log/maillog
maillog_file_prefixes = {directory}/log
alias_maps =
alias_database =
inet_interfaces = {host}
inet_protocols = ipv4
myhostname = mx.{campus}
myorigin = {campus}
mynetworks = 127.0.0.1/32
mydestination =
default_transport = discard:
relay_transport = discard:
local_transport = discard:
local_recipient_maps =
smtp_dns_support_level = disabled
smtpd_peername_lookup = no
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_tls_security_level = none
smtpd_client_connection_count_limit = 0
in_flow_delay = 0s
"""

_LISTENER = """\
{host}:{port} inet n - n - 100 smtpd
  -o syslog_name=postfix/{name}
"""

_MILTER = """\
  -o {{ smtpd_milters = {{ {socket}, connect_timeout=5s, command_timeout=30s, content_timeout=60s, \
default_action=tempfail }} }}
"""

_MASTER = """\
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
pickup unix n - n 60 1 pickup
postlog unix-dgram n - n - 1 postlogd
"""
_QUEUES = ("maildrop", "incoming", "active", "deferred")


class Injection:
    """The result of a run of smtp-source(1): the number of accepted messages, and the seconds it took."""

    def __init__(self, messages: int, seconds: float) -> None:
        self.messages = messages
        self.seconds = seconds

    @property
    def per_second(self) -> float:
        """Accepted messages per second."""
        return self.messages / self.seconds


class DiscardPostfix:
    """An instance below `directory`. `listeners` maps a name to a milter's socket ("unix:/path") or to "" (none).

    `ports` sets the ports of the listeners; without it, free ones are taken.
    """

    def __init__(
        self, directory: Path, listeners: Mapping[str, str], campus: str, ports: Mapping[str, int] | None = None
    ) -> None:
        self.directory = directory
        self.ports = dict(ports or zip(listeners, spare_ports(len(listeners)), strict=True))
        self._listeners = dict(listeners)
        self._campus = campus
        self._config = directory / "config"

    def __enter__(self) -> Self:
        for name in ("", "config", "queue", "log"):
            (self.directory / name).mkdir(mode=0o755)
        data = self.directory / "data"
        data.mkdir(mode=0o700)
        shutil.chown(data, "postfix")
        main = _MAIN.format(name=self.directory.name, directory=self.directory, host=HOST, campus=self._campus)
        (self._config / "main.cf").write_text(main)
        (self._config / "master.cf").write_text("".join(map(self._listener, self._listeners)) + _MASTER)
        try:
            self._command("start")
            for name in self._listeners:
                self.inject(name, 1)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def inject(self, listener: str, messages: int, *, sessions: int = 4, body: int = 2000) -> Injection:
        """Run smtp-source on a listener, then wait until the queue is empty; the wait is not timed.

        Raises RuntimeError with its output if a message is not accepted.
        """
        command = [
            "/usr/sbin/smtp-source",
            "-s",
            str(sessions),
            "-m",
            str(messages),
            "-l",
            str(body),
            "-f",
            f"sender@{self._campus}",
            "-t",
            f"victim@{self._campus}",
            f"inet:{HOST}:{self.ports[listener]}",
        ]
        begin = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.monotonic() - begin
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}\n{self.log_text()[-2000:]}")
        self.wait_until_queue_is_empty()
        return Injection(messages, seconds)

    def wait_until_queue_is_empty(self) -> None:
        """Return when all accepted messages are discarded."""
        until(lambda: not self._queued(), "an empty mail queue", 120.0)

    def log_text(self) -> str:
        """Return the mail log."""
        log = self.directory / "log" / "maillog"
        return log.read_text("utf-8", "replace") if log.exists() else ""

    def _queued(self) -> bool:
        return any(file.is_file() for name in _QUEUES for file in (self.directory / "queue" / name).rglob("*"))

    def _listener(self, name: str) -> str:
        listener = _LISTENER.format(host=HOST, port=self.ports[name], name=name)
        return listener + (_MILTER.format(socket=self._listeners[name]) if self._listeners[name] else "")

    def _stop(self) -> None:
        pid = self._master_pid()
        if pid is not None:
            self._command("stop")
            until(lambda: self._master_pid() is None, "Postfix's end")

    def _command(self, verb: str) -> None:
        command = ["postfix", "-c", str(self._config), verb]
        # MAIL_CONFIG and the like would point Postfix at another configuration.
        environ = {name: value for name, value in os.environ.items() if not name.startswith("MAIL_")}
        # The daemons inherit these descriptors and would keep a pipe open.
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            env=environ,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.returncode}\n{self.log_text()}")

    def _master_pid(self) -> int | None:
        try:
            pid = int((self.directory / "queue" / "pid" / "master.pid").read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if b"master" in command else None
