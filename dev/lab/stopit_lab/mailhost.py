"""A campus's mail server on a booted Debian, with Stopit installed from the package.

`MailHost` is common to both kinds of MTA: members with passwords, their clients and mailboxes, the package, the
configuration and the units of the daemons. `postfix_host` and `sendmail_host` add the set-up of the MTA before
Stopit, and the lines that connect it to the milter. A `Story` runs on a mail host as on a lab's site.
"""

from __future__ import annotations

import json
import re
import ssl
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from email.message import EmailMessage
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import ClassVar

from stopit_lab.client import Client, SmtpReply
from stopit_lab.daemons import Metrics, read_metrics
from stopit_lab.debian import Done, Host
from stopit_lab.mailbox import Mailbox
from stopit_lab.people import CAMPUS, STAFF, Cast, login_of
from stopit_lab.waiting import PATIENCE, until

__all__ = ["MILTER", "NOTIFIER", "UNITS", "MailHost"]

MILTER = "stopit-milter.service"
NOTIFIER = "stopit-notifier.service"
UNITS = (MILTER, NOTIFIER)

PACKAGE = "stopit"
PACKAGES = (
    "systemd",
    "systemd-sysv",
    "dbus",
    "procps",
    "python3",
    "ca-certificates",
    "libmilter1.0.1",
    "ssl-cert",
    "redis-server",
)
"""Packages of a mail host before Stopit. With them, the package installs without a network."""

_PASSWORD = "correct horse battery"
_ALIASES = "/etc/aliases"
_TOML = "/etc/stopit/stopit.toml"
_CERTIFICATE = "/etc/ssl/certs/ssl-cert-snakeoil.pem"
_PORTS = {MILTER: 9464, NOTIFIER: 9465}

_CASES = """
import json, sqlite3
record = sqlite3.connect("file:/var/lib/stopit-notifier/cases.db?mode=ro", uri=True)
rows = record.execute("SELECT report_id, number FROM reports JOIN cases ON cases.id = reports.case_id")
print(json.dumps(list(rows)))
"""

# Values in TOML by section and key, over those of `stopitctl init`.
Changes = Mapping[tuple[str, str], str]

QUICK: Changes = {
    ("campus", "emergency"): '["In danger now? Call 112."]',
    ("policy", "notice_delay"): '["1s", "1s"]',
    ("notifier", "settle"): '"1s"',
    ("smtp", "port"): "10587",
}
"""Short delays of notices, and the listener of the notifier."""

_REDIS = "/run/redis/redis-server.sock"
REDIS: Changes = {("queue", "url"): f'"unix://{_REDIS}"', ("ledger", "url"): f'"unix://{_REDIS}"'}


class MailHost(ABC):
    """A mail server for the members of `casts`, who all have the same password."""

    packages: ClassVar[Sequence[str]]

    def __init__(self, host: Host, casts: Sequence[Cast]) -> None:
        self.host = host
        self.casts = tuple(casts)
        self._tls: ssl.SSLContext | None = None

    @abstractmethod
    def set_up_mta(self) -> None:
        """Set up the MTA as before Stopit: local mailboxes, and submission with a login."""

    @abstractmethod
    def tell_mta(self) -> None:
        """Connect the MTA to the milter, with the means that Stopit gives a postmaster."""

    @abstractmethod
    def mailbox(self, address: str) -> Mailbox:
        """Return the mailbox of a person."""

    def add_members(self) -> None:
        """Create accounts for all members and for staff."""
        logins = [login_of(address) for cast in self.casts for address in _members(cast)]
        lines = [f"{login}:{_PASSWORD}:::{login}:/home/{login}:/bin/bash" for login in [*logins, login_of(STAFF)]]
        self.host.run("newusers", input="\n".join(lines) + "\n")
        aliases = self.host.path(_ALIASES)
        more = [f"{login_of(cast.mallory_alias)}: {login_of(cast.mallory)}" for cast in self.casts]
        more += [_everyone(cast) for cast in self.casts]
        aliases.write_text("\n".join([aliases.read_text() if aliases.exists() else "", *more, ""]))
        self.host.run("newaliases")

    def set_up_redis(self) -> None:
        """Set up Redis as documented: durable, without eviction, on a socket for its group only."""
        with self.host.path("/etc/redis/redis.conf").open("a") as file:
            file.write("\nappendonly yes\nappendfsync always\nmaxmemory-policy noeviction\n")
            file.write(f"port 0\nunixsocket {_REDIS}\nunixsocketperm 770\n")
        self.host.run("systemctl", "restart", "redis-server")

    def install(self, package: Path) -> Done:
        """Install this .deb, or upgrade to it, as a postmaster does."""
        self.host.copy(package, f"/root/{package.name}")
        environment = {"DEBIAN_FRONTEND": "noninteractive"}
        return self.host.run(
            "apt-get", "install", "--yes", "--no-install-recommends", f"/root/{package.name}", environment=environment
        )

    def let_into_redis(self) -> None:
        """Give the users of the daemons access to the socket."""
        self.host.shell("usermod -aG redis stopit; usermod -aG redis stopit-notifier")

    def configure(self, changes: Changes = QUICK) -> None:
        """Write a configuration with these changes, and a key; create the report address."""
        self.ctl("init", CAMPUS)
        self.change(changes)
        with self.host.path(_ALIASES).open("a") as file:
            file.write(f"stopit: {login_of(STAFF)}\n")
        self.host.run("newaliases")

    def change(self, changes: Changes) -> None:
        """Edit the configuration key by key. A running daemon reads it at its next reload."""
        text = self.host.path(_TOML).read_text()
        for (section, key), value in changes.items():
            text = _edited(text, section, key, value)
        self.host.path(_TOML).write_text(text)

    def start(self) -> None:
        """Enable and start both daemons."""
        self.host.run("systemctl", "enable", "--now", *UNITS)

    def ctl(self, *arguments: str, check: bool = True) -> Done:
        """Run `stopitctl` as root, and return its output."""
        return self.host.run("stopitctl", *arguments, check=check)

    def client(self, author: str, port: int = 587, password: str = _PASSWORD) -> Client:
        """Return a member's mail client: STARTTLS, then login and password."""
        return Client(port, login_of(author), password, tls=self._trust(), connect=self.host.connect)

    def submit(
        self, message: EmailMessage | bytes, author: str, recipients: Sequence[str], sender: str | None = None
    ) -> SmtpReply:
        """Send as a logged-in member. `sender` is MAIL FROM if it is not the author's address."""
        return self.client(author).send(message, author if sender is None else sender, recipients)

    @property
    def staff(self) -> Mailbox:
        """The staff mailbox."""
        return self.mailbox(STAFF)

    def metrics(self, unit: str) -> Metrics:
        """Scrape a daemon. Raises OSError if it does not answer."""
        return read_metrics(self._get(_PORTS[unit], "/metrics"))

    def pid(self, unit: str) -> int:
        """Return the process id of the unit's main process in the guest, or 0."""
        return int(self.host.show(unit, "MainPID") or 0)

    def processes(self, unit: str) -> list[int]:
        """Return the process ids, in the guest, of all processes of the unit's user."""
        listed = self.host.run("ps", "-o", "pid=", "-u", self.host.show(unit, "User"))
        return [int(pid) for pid in listed.out.split()]

    def is_ready(self, unit: str) -> bool:
        """Return whether the daemon has sent READY=1."""
        return self.host.show(unit, "ActiveState") == "active" and self.pid(unit) != 0

    def wait_until_ready(self, unit: str, timeout: float = PATIENCE) -> None:
        """Return when the daemon has sent READY=1."""
        until(lambda: self.is_ready(unit), f"{unit} to be ready", timeout)

    def cases_by_report(self) -> dict[str, list[str]]:
        """Return the cases of each report, by the report's id, from the case record."""
        found: dict[str, list[str]] = {}
        for report, number in json.loads(self.host.run("python3", "-c", _CASES).out):
            found.setdefault(report, []).append(number)
        return found

    def nothing_waits(self) -> bool:
        """Return whether no report waits for a decision and no due message waits to be sent."""
        counts = self.metrics(NOTIFIER)
        return not (counts.value("stopit_queue_depth") or counts.total("stopit_outbox_due"))

    def logs(self) -> str:
        """Return the journal of all units since the boot."""
        return self.host.journal()

    def _get(self, port: int, path: str) -> str:
        page = HTTPConnection("127.0.0.1", port)
        page.sock = self.host.connect(port)
        try:
            page.request("GET", path)
            answer: HTTPResponse = page.getresponse()
            return answer.read().decode()
        finally:
            page.close()

    def _trust(self) -> ssl.SSLContext:
        """Return a TLS context that trusts only the host's own certificate, which Debian made."""
        if self._tls is None:
            self._tls = ssl.create_default_context(cafile=str(self.host.path(_CERTIFICATE)))
            self._tls.check_hostname = False  # it has the host name of the machine that made the image
        return self._tls


def _members(cast: Cast) -> Iterator[str]:
    yield from (cast.mallory, cast.vera, cast.walt, cast.bob)


def _everyone(cast: Cast) -> str:
    return f"{login_of(cast.everyone)}: {', '.join(map(login_of, (cast.mallory, cast.vera, cast.walt)))}"


def _edited(text: str, section: str, key: str, value: str) -> str:
    """Return stopit.toml with this key set on its line, which may be commented out. Raises KeyError."""
    begin = re.search(rf"^\[{re.escape(section)}\]$", text, re.MULTILINE)
    if begin is None:
        raise KeyError(section)
    line = re.compile(rf"^#?{re.escape(key)} = .*$", re.MULTILINE)
    found = line.search(text, begin.end())
    following = re.search(r"^\[", text[begin.end() :], re.MULTILINE)
    if found is None or (following is not None and found.start() > begin.end() + following.start()):
        raise KeyError(f"{section}.{key}")
    return text[: found.start()] + f"{key} = {value}" + text[found.end() :]
