"""A site with Stopit's daemons, ledger and metrics, but without an MTA.

Its domain is the one that milterload uses, so that senders and recipients are members.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from stopit_core import config
from stopit_core.config import Settings
from stopit_core.identity.keys import Keyring, new_key, read_key
from stopit_lab.daemons import Daemon, Metrics, program, scrape
from stopit_lab.ports import HOST, spare_ports
from stopit_lab.redis import Redis
from stopit_lab.site import Stores
from stopit_lab.waiting import until

__all__ = ["CAMPUS", "REPORT", "BenchSite"]

CAMPUS = "example.edu"
REPORT = f"stopit@{CAMPUS}"
_DRAIN = 60.0
_MEMORY = Path("/dev/shm")
"""A tmpfs for the runtime directory, like /run with systemd. In a container, /run may be on a disk."""


class BenchSite:
    """A site below `directory`, which it creates. `values` (section to key to value) override its settings.

    Entering it starts the store only. The measurements start the daemons.
    """

    def __init__(
        self,
        directory: Path,
        stores: Stores,
        *,
        workers: int = 1,
        smtp_port: int = 0,
        values: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.directory = directory
        self.stores = stores
        self.socket = f"unix:{directory / 'milter' / 'milter.sock'}"
        self.redis = Redis(directory / "redis") if stores is Stores.REDIS else None
        self._workers = workers
        self._smtp_port = smtp_port
        self._values = dict(values or {})
        self._ports = spare_ports(2)
        self._config = directory / "stopit.toml"
        self._runtime = Path(tempfile.mkdtemp(prefix="stopit-bench-", dir=_MEMORY if _MEMORY.is_dir() else None))
        self.milter = Daemon(
            "stopit-milter",
            [program("stopit-milter"), "--config", str(self._config)],
            directory,
            {"RUNTIME_DIRECTORY": str(self._runtime)},
        )
        self.notifier = Daemon(
            "stopit-notifier", [program("stopit-notifier"), "--config", str(self._config)], directory
        )

    def __enter__(self) -> Self:
        self.directory.mkdir(mode=0o755)
        self._make_socket_directory()
        (self.directory / "spool").mkdir(mode=0o700)
        key = self.directory / "site.key"
        key.touch(mode=0o600)
        key.write_text(new_key() + "\n")
        if self.redis:
            self.redis.directory.mkdir(mode=0o700)
            self.redis.start()
        self._config.write_text(config.describe(self._chosen()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.notifier.kill()
        self.milter.kill()
        if self.redis:
            self.redis.close()
        for place in (self.directory, self._runtime):
            shutil.rmtree(place, ignore_errors=True)

    @property
    def settings(self) -> Settings:
        """The configuration, read from its file."""
        return config.load(self._config)

    @property
    def keyring(self) -> Keyring:
        """The site's key."""
        return read_key(self.directory / "site.key")

    def milter_metrics(self) -> Metrics:
        """Scrape the milter."""
        return scrape(f"{HOST}:{self._ports[0]}")

    def notifier_metrics(self) -> Metrics:
        """Scrape the notifier."""
        return scrape(f"{HOST}:{self._ports[1]}")

    def traced(self) -> float:
        """Return the number of traces its milter has written. Raises RuntimeError if one was dropped."""
        counted = self.milter_metrics()
        if dropped := counted.value("stopit_traces_total", result="dropped"):
            raise RuntimeError(f"{dropped:g} traces were dropped; see {self.milter.log}")
        return counted.value("stopit_traces_total", result="written")

    def wait_until_traced(self, total: float) -> None:
        """Return when its milter has written `total` traces since its start."""
        until(lambda: self.traced() >= total, f"{total:g} traces", _DRAIN)

    def _make_socket_directory(self) -> None:
        place = self.directory / "milter"
        place.mkdir(mode=0o750)
        shutil.chown(place, "root", "postfix")
        place.chmod(0o2750)  # the socket inherits the group, so that smtpd may connect

    def _chosen(self) -> dict[str, dict[str, Any]]:
        url = self.redis.url if self.redis else None
        milter, notifier = (f"{HOST}:{port}" for port in self._ports)
        chosen: dict[str, dict[str, Any]] = {
            "campus": {
                "name": "Example University",
                "domains": [CAMPUS],
                "report_address": REPORT,
                "staff_address": f"stopit-staff@{CAMPUS}",
            },
            "milter": {"socket": self.socket, "metrics": milter, "workers": self._workers},
            "queue": {"url": url or self._sqlite("queue"), "spool_dir": self.directory / "spool"},
            "ledger": {"url": url or self._sqlite("ledger"), "key_file": self.directory / "site.key"},
            "cases": {"url": self._sqlite("cases")},
            "smtp": {"host": HOST, "port": self._smtp_port or 25},
            "notifier": {"metrics": notifier},
        }
        for name, section in self._values.items():
            chosen.setdefault(name, {}).update(section)
        return chosen

    def _sqlite(self, name: str) -> str:
        return f"sqlite:///{self.directory / name}.db"
