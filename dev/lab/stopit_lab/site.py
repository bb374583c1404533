"""A whole mail site in one temporary directory: Postfix, the stores, the milter and the notifier.

    with Site(Stores.SQLITE) as site:
        site.submit(message(cast.mallory, [cast.vera], "Hi", "..."), cast.mallory, [cast.vera])
        site.mailbox(cast.vera).wait_for(...)

Leaving the block ends every process and removes every file, also if entering it failed.
"""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from email.message import EmailMessage
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any

from stopit_core import config
from stopit_core.identity.keys import Keyring, new_key, read_key
from stopit_core.open_stores import open_cases, open_ledger, open_queue
from stopit_lab.client import Client, SmtpReply
from stopit_lab.daemons import Daemon, Metrics, program, scrape
from stopit_lab.dovecot import Dovecot
from stopit_lab.mailbox import Mailbox
from stopit_lab.people import CAMPUS, REPORT, STAFF, login_of
from stopit_lab.ports import HOST, spare_ports
from stopit_lab.postfix import Postfix
from stopit_lab.redis import Redis
from stopit_lab.waiting import until

__all__ = ["EMERGENCY", "Site", "Stores"]

EMERGENCY = ("In danger now? Call 112.", "Campus police, day and night: 555 0100.")
"""The first text of every acknowledgement in the lab."""

_OFFICE = """
[[office]]
name = "Ombuds Office"
address = "ombuds@campus.example"
about = "Confidential advice, for everyone."
"""

Values = Mapping[str, Mapping[str, Any]]


class Stores(StrEnum):
    """The kind of store of queue and ledger."""

    SQLITE = "sqlite"
    REDIS = "redis"


class Site:
    """A site. `values` (section to key to value) override the lab's settings.

    `passwords` (login to password) add the SASL listener. `home` is the directory in which the site's own is made. A
    `bare_postfix` has no milter configured. `mail` is the directory of another site's mailboxes, if both are hosts of
    one campus.
    """

    def __init__(
        self,
        stores: Stores = Stores.SQLITE,
        values: Values | None = None,
        passwords: Mapping[str, str] | None = None,
        home: Path | None = None,
        bare_postfix: bool = False,
        mail: Path | None = None,
    ) -> None:
        self.stores = stores
        self.directory = Path(tempfile.mkdtemp(prefix="stopit-lab-", dir=home))
        self.directory.chmod(0o755)  # the users of Postfix need access
        self.config = self.directory / "stopit.toml"
        self._values = dict(values or {})
        self._socket = self.directory / "milter" / "milter.sock"
        self._ports = spare_ports(2)
        self.redis = Redis(self.directory / "redis") if stores is Stores.REDIS else None
        self.dovecot = Dovecot(self.directory / "dovecot", passwords) if passwords else None
        auth = self.dovecot.socket if self.dovecot else None
        self.postfix = Postfix(self.directory / "postfix", f"unix:{self._socket}", auth, bare_postfix)
        self.postfix.mail = mail or self.postfix.mail
        self.milter = self._daemon("stopit-milter")
        self.notifier = self._daemon("stopit-notifier")

    def __enter__(self) -> Site:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start everything, stores first, and return when all is ready."""
        self._socket.parent.mkdir(mode=0o750)
        shutil.chown(self._socket.parent, "root", "postfix")
        self._socket.parent.chmod(0o2750)  # the socket inherits the group, so that smtpd may connect
        (self.directory / "spool").mkdir(mode=0o700)
        key = self.directory / "site.key"
        key.touch(mode=0o600)
        key.write_text(new_key() + "\n")
        if self.redis:
            self.redis.directory.mkdir(mode=0o700)
            self.redis.start()
        if self.dovecot:
            self.dovecot.start()
        self.configure({})
        self.milter.start()
        self.notifier.start()
        self.postfix.start()

    def close(self, keep_files: bool = False) -> None:
        """End every process, and remove every file unless they are to be kept. Continues if a part fails to end."""
        try:
            for daemon in (self.notifier, self.milter):
                daemon.kill()
            self.postfix.stop()
        finally:
            if self.dovecot:
                self.dovecot.stop()
            if self.redis:
                self.redis.close()
            if not keep_files:
                shutil.rmtree(self.directory, ignore_errors=True)

    def configure(self, changes: Values) -> None:
        """Write the configuration with these changes. A running daemon reads it at its next `reload`."""
        chosen = {name: dict(section) for name, section in self._base().items()}
        for layer in (self._values, changes):
            for name, section in layer.items():
                chosen.setdefault(name, {}).update(section)
        self.config.write_text(config.describe(chosen) + _OFFICE)

    def submit(
        self, message: EmailMessage | bytes, author: str, recipients: Sequence[str], sender: str | None = None
    ) -> SmtpReply:
        """Send as a logged-in member. `sender` is MAIL FROM if it is not the author's address."""
        client = Client(self.postfix.submission, login=login_of(author))
        return client.send(message, author if sender is None else sender, recipients)

    def receive(
        self, message: EmailMessage | bytes, sender: str, recipients: Sequence[str], address: str = "192.0.2.25"
    ) -> SmtpReply:
        """Send unauthenticated mail from outside, from a host with this IP address."""
        return Client(self.postfix.inbound, address=address).send(message, sender, recipients)

    def wait_until_traced(self, message: EmailMessage, passes: int = 1) -> None:
        """Return when the ledger has this number of traces of this message. Traces are written asynchronously."""
        digest = self.keyring.message(str(message["Message-ID"]).strip("<>"))
        with closing(open_ledger(config.load(self.config).ledger)) as ledger:
            until(lambda: len(ledger.find(digest)) >= passes, f"{passes} traces of {message['Message-ID']}")

    def wait_until_idle(self) -> None:
        """Return when no report and no message waits anywhere: nothing more is sent then, unless somebody writes.

        Work leaves a place only after the next one has it, so the places are counted in the order of its way.
        """
        settings = config.load(self.config)
        with closing(open_queue(settings.queue)) as queue, closing(open_cases(settings.cases)) as cases:

            def waiting() -> Iterator[int]:
                yield sum(1 for _ in settings.queue.spool_dir.iterdir())
                depths = queue.depths()
                yield depths.waiting + depths.claimed
                with cases.reading() as reading:
                    yield reading.totals(now=math.inf).outbox_due  # also what is due later
                yield len(self.postfix.queued())

            # Twice, because a bounce leaves Postfix as a report.
            until(lambda: not any(waiting()) and not any(waiting()), "a site where nothing waits")

    def mailbox(self, address: str) -> Mailbox:
        """Return the mailbox of a person."""
        return self.postfix.mailbox(address)

    @property
    def staff(self) -> Mailbox:
        """The staff mailbox."""
        return self.mailbox(STAFF)

    @property
    def keyring(self) -> Keyring:
        """The site's key."""
        return read_key(self.directory / "site.key")

    @property
    def addresses(self) -> tuple[str, str]:
        """The addresses of the milter's and the notifier's metrics, as "host:port"."""
        milter, notifier = self._ports
        return f"{HOST}:{milter}", f"{HOST}:{notifier}"

    def milter_metrics(self) -> Metrics:
        """Scrape the milter."""
        return scrape(self.addresses[0])

    def notifier_metrics(self) -> Metrics:
        """Scrape the notifier."""
        return scrape(self.addresses[1])

    def ctl(self, *arguments: str) -> str:
        """Run `stopitctl`, 78 columns wide, and return its output. Raises RuntimeError with its error if it fails."""
        environ = {**os.environ, "COLUMNS": "78", "NO_COLOR": "1"}
        command = [*self.ctl_command(), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
        if done.returncode:
            raise RuntimeError(f"stopitctl {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def ctl_command(self) -> list[str]:
        """Return the command line of `stopitctl` for this site, whose daemons run as root."""
        users = ["--milter-user", "", "--notifier-user", ""]
        return [program("stopitctl"), "--config", str(self.config), *users]

    def logs(self) -> str:
        """Return all logs, one after the other."""
        texts = {
            "stopit-milter": self.milter.log_text(),
            "stopit-notifier": self.notifier.log_text(),
            "postfix": self.postfix.log_text(),
            "dovecot": self.dovecot.log_text() if self.dovecot else "",
        }
        return "\n".join(f"--- {name}\n{text}" for name, text in texts.items() if text)

    def _daemon(self, name: str) -> Daemon:
        return Daemon(name, [program(name), "--config", str(self.config)], self.directory)

    def _base(self) -> Values:
        url = self.redis.url if self.redis else None
        milter, notifier = self.addresses
        return {
            "campus": {
                "name": "Example Campus",
                "domains": [CAMPUS],
                "report_address": REPORT,
                "staff_address": STAFF,
                "emergency": list(EMERGENCY),
                "policy_url": f"https://www.{CAMPUS}/mail-rules",
            },
            "milter": {"socket": f"unix:{self._socket}", "metrics": milter},
            "queue": {"url": url or self._sqlite("queue"), "spool_dir": self.directory / "spool", "lease": "3s"},
            "ledger": {"url": url or self._sqlite("ledger"), "key_file": self.directory / "site.key"},
            "cases": {"url": self._sqlite("cases")},
            "policy": {"notice_delay": ["1s", "1s"]},
            "smtp": {"host": HOST, "port": self.postfix.outgoing, "timeout": "20s"},
            "notifier": {"metrics": notifier, "settle": "1s"},
        }

    def _sqlite(self, name: str) -> str:
        return f"sqlite:///{self.directory / name}.db"
