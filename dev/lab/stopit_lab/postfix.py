"""A private Postfix: its own configuration, queue, mailboxes and ports in one directory; never the system's own.

Four listeners, as on a mail host (config/postfix/):

    submission   a member's client. Temporary failure without the milter. `XCLIENT LOGIN=vera` (XCLIENT_README) gives
                 the milter a true {auth_authen} without a password
    sasl         the same, with real SASL by Dovecot (if `sasl_socket` is given)
    inbound      port 25: mail from outside. Mail passes without the milter
    outgoing     mail of the notifier. Temporary failure, because none of it may pass without the milter

Bounces that Postfix writes pass the milter too, as mail from outside does.

It completes no headers, as production servers do not for clients on other hosts: clients here are on Postfix's own.

It is as strict about pipelining and line ends as hardened hosts are, and as Postfix 3.9 is by default.

It never queries the DNS, and nothing leaves the machine: mail for domains other than the lab's is refused. Needs
root, because Postfix runs its daemons as different users.
"""

from __future__ import annotations

import os
import re
import shutil
import smtplib
import subprocess
from functools import partial
from pathlib import Path

from stopit_lab.mailbox import Mailbox
from stopit_lab.people import CAMPUS, DOMAINS, LOST, aliases, mailboxes
from stopit_lab.ports import HOST, spare_ports
from stopit_lab.waiting import until

__all__ = ["Postfix"]

_DAEMONS = Path("/usr/lib/postfix/sbin")
_MAIL_UID = 5000  # needs no user of the system; virtual(8) only takes a number
_QUEUES = ("maildrop", "incoming", "active", "deferred")

_MAIN = """\
compatibility_level = 3.7
multi_instance_name = postfix-{name}
queue_directory = {queue}
data_directory = {data}
daemon_directory = {daemons}
command_directory = /usr/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {log}
maillog_file_prefixes = {log_dir}
alias_maps =
alias_database =

inet_interfaces = {host}
inet_protocols = ipv4
myhostname = mx.{campus}
myorigin = {campus}
mynetworks = 127.0.0.1/32
mydestination =
local_transport = error:5.1.1 there are no local mailboxes
local_recipient_maps =
default_transport = error:5.4.4 the lab sends nothing outside
relay_transport = error:5.4.4 the lab sends nothing outside
relay_domains =
recipient_delimiter = +
local_header_rewrite_clients =
virtual_mailbox_domains = {domains}
virtual_mailbox_base = {mail}
virtual_mailbox_maps = texthash:{config}/mailboxes
virtual_alias_maps = texthash:{config}/aliases
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{uid}
transport_maps = texthash:{config}/transport

non_smtpd_milters = {milter}
internal_mail_filter_classes = bounce

smtp_dns_support_level = disabled
smtpd_peername_lookup = no
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions =
smtpd_data_restrictions = reject_unauth_pipelining
smtpd_forbid_unauth_pipelining = yes
smtpd_forbid_bare_newline = yes
smtpd_tls_security_level = none
smtpd_delay_reject = no
smtpd_error_sleep_time = 0s
smtpd_soft_error_limit = 1000
smtpd_hard_error_limit = 1000
in_flow_delay = 0s
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
bounce_queue_lifetime = 1h
message_size_limit = 52428800
mailbox_size_limit = 0
virtual_mailbox_limit = 0
"""

_MILTER = "{{ {milter}, connect_timeout=5s, command_timeout=10s, content_timeout=60s, default_action={default} }}"

_LISTENER = """\
{host}:{port} inet n - n - 100 smtpd
  -o syslog_name=postfix/{name}
  -o {{ smtpd_milters = {milter} }}
  -o smtpd_authorized_xclient_hosts={host}
"""

_SASL = """\
  -o smtpd_sasl_auth_enable=yes
  -o smtpd_sasl_type=dovecot
  -o smtpd_sasl_path={socket}
"""

_MASTER = """\
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
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
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
pickup unix n - n 60 1 pickup
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """A private instance below `directory`, which everyone must be able to reach (0755 on the whole path).

    `milter` is the milter's socket in the MTA's spelling: "unix:/path" or "inet:host:port". With `bare`, no milter is
    configured: that is left to `stopitctl setup postfix`.
    """

    def __init__(self, directory: Path, milter: str, sasl_socket: Path | None = None, bare: bool = False) -> None:
        self.directory = directory
        self.log = directory / "log" / "maillog"
        self.submission, self.inbound, self.outgoing, self.sasl = spare_ports(4)
        self._config = directory / "config"
        self._queue = directory / "queue"
        self.mail = directory / "mail"
        self._milter = milter
        self._sasl_socket = sasl_socket
        self._bare = bare

    def start(self) -> None:
        """Write the configuration, start, and return when all listeners answer. Raises RuntimeError with the log."""
        self._write()
        try:
            self._command("start")
            for port in self.listeners():
                until(partial(_greets, port), f"Postfix's greeting on port {port}")
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all its processes; delivered mail stays. Does nothing if it does not run."""
        if self._master_pid() is not None:
            self._command("stop")
            until(lambda: self._master_pid() is None, "Postfix's end")

    def reload(self) -> None:
        """Make it read its configuration again."""
        self._command("reload")

    def set(self, name: str, value: str) -> None:
        """Set a parameter of main.cf, and reload."""
        subprocess.run(["postconf", "-c", str(self._config), "-e", f"{name}={value}"], check=True)
        self.reload()

    def listeners(self) -> tuple[int, ...]:
        """The ports of its listeners."""
        return (self.submission, self.inbound, self.outgoing, *((self.sasl,) if self._sasl_socket else ()))

    def mailbox(self, address: str) -> Mailbox:
        """Return the mailbox of an address that has one (not of an alias)."""
        local, _, domain = address.partition("@")
        return Mailbox(address, self.mail / domain / local)

    def queued(self) -> list[Path]:
        """Return the queue files of mail that is active or deferred."""
        return [file for name in _QUEUES for file in (self._queue / name).rglob("*") if file.is_file()]

    def wait_until_queue_is_empty(self) -> None:
        """Return when all accepted mail has been delivered or bounced."""
        until(lambda: not self.queued(), "an empty mail queue")

    def log_text(self) -> str:
        """Return the mail log."""
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def _write(self) -> None:
        for directory in (self.directory, self._config, self._queue, self.log.parent):
            directory.mkdir(mode=0o755, exist_ok=True)
        data = self.directory / "data"
        data.mkdir(mode=0o700, exist_ok=True)
        shutil.chown(data, "postfix")
        self.mail.mkdir(mode=0o755, exist_ok=True)
        for domain in DOMAINS:
            (self.mail / domain).mkdir(mode=0o755, exist_ok=True)
            os.chown(self.mail / domain, _MAIL_UID, _MAIL_UID)
        main = _MAIN.format(
            name=self.directory.parent.name,
            queue=self._queue,
            data=data,
            daemons=_DAEMONS,
            log=self.log,
            log_dir=self.log.parent,
            host=HOST,
            campus=CAMPUS,
            domains=", ".join(DOMAINS),
            mail=self.mail,
            config=self._config,
            uid=_MAIL_UID,
            milter=self._milter_with("accept"),
        )
        if self._bare:
            main = re.sub(
                r"^(non_smtpd_milters|internal_mail_filter_classes|recipient_delimiter) = .*\n", "", main, flags=re.M
            )
        (self._config / "main.cf").write_text(main)
        (self._config / "master.cf").write_text(self._master())
        (self._config / "mailboxes").write_text(
            "".join(f"{local}@{domain} {domain}/{local}/\n" for local, domain in mailboxes())
        )
        (self._config / "aliases").write_text(
            "".join(f"{alias} {', '.join(targets)}\n" for alias, targets in aliases().items())
        )
        (self._config / "transport").write_text(f"{LOST} error:5.1.1 the mailbox is gone\n")

    def _master(self) -> str:
        def listener(name: str, port: int, default: str) -> str:
            text = _LISTENER.format(host=HOST, port=port, name=name, milter=self._milter_with(default))
            return re.sub(r"^.*smtpd_milters.*\n", "", text, flags=re.M) if self._bare else text

        listeners = (
            listener("submission", self.submission, "tempfail")
            + listener("inbound", self.inbound, "accept")
            + listener("outgoing", self.outgoing, "tempfail")
        )
        if self._sasl_socket:
            listeners += listener("sasl", self.sasl, "tempfail") + _SASL.format(socket=self._sasl_socket)
        return listeners + _MASTER

    def _milter_with(self, default: str) -> str:
        return _MILTER.format(milter=self._milter, default=default)

    def _command(self, verb: str) -> None:
        command = ["postfix", "-c", str(self._config), verb]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=_environment())
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}\n{self.log_text()}")

    def _master_pid(self) -> int | None:
        """Return the master's process id, or None if it does not run."""
        try:
            pid = int((self._queue / "pid" / "master.pid").read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (OSError, ValueError):
            return None
        return pid if b"master" in command else None


def _greets(port: int) -> bool:
    try:
        with smtplib.SMTP(HOST, port, timeout=10) as smtp:
            return smtp.noop()[0] == 250
    except (OSError, smtplib.SMTPException):
        return False


def _environment() -> dict[str, str]:
    """Return this process's environment without the variables that change Postfix's configuration."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MAIL_")}
