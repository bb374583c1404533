"""Fixtures: a site in its own directory, stopitctl run on it, and golden files of its output."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from stopit_core import config
from stopit_core.cases import CaseStore
from stopit_core.identity.keys import Keyring
from stopit_core.open_stores import open_ledger, open_queue
from stopit_core.stores.ledger import Ledger
from stopit_core.stores.queue import Queue
from stopit_ctl.__main__ import command_line

GOLDEN = Path(__file__).parents[2] / "golden" / "ctl"
KEY = bytes(range(32))


class Host:
    """One site, its stores, and stopitctl run on it. The daemons' users are the user who runs the tests."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path = directory / "stopit.toml"
        self.key = directory / "site.key"
        self.keyring = Keyring(KEY)
        self.key.write_text(KEY.hex() + "\n")
        self.key.chmod(0o600)
        self.configure()

    def configure(self, **sections: dict[str, object]) -> config.Settings:
        """Write the configuration with these sections over the defaults of the tests."""
        base: dict[str, dict[str, object]] = {
            "campus": {
                "name": "Example Campus",
                "domains": ["campus.example"],
                "report_address": "stopit@campus.example",
                "staff_address": "stopit-staff@campus.example",
            },
            "queue": {"url": f"sqlite:///{self.directory}/queue.db", "spool_dir": self.directory / "spool"},
            "ledger": {"url": f"sqlite:///{self.directory}/ledger.db", "key_file": self.key},
            "cases": {"url": f"sqlite:///{self.directory}/cases.db"},
        }
        for name, section in sections.items():
            base.setdefault(name, {}).update(section)
        self.path.write_text(config.describe(base))
        return self.settings

    @property
    def settings(self) -> config.Settings:
        return config.load(self.path)

    def ledger(self) -> Ledger:
        return open_ledger(self.settings.ledger)

    def queue(self) -> Queue:
        return open_queue(self.settings.queue)

    def cases(self) -> CaseStore:
        store = CaseStore(self.settings.cases.url)
        store.migrate()
        return store

    def run(self, *arguments: str, stdin: str | None = None) -> Result:
        """Run stopitctl with these arguments, without a terminal."""
        return CliRunner().invoke(
            command_line(),
            ["--config", str(self.path), *arguments],
            input=stdin,
            prog_name="stopitctl",
            env={"STOPIT_MILTER_USER": "", "STOPIT_NOTIFIER_USER": "", "COLUMNS": "80"},
        )

    def masked(self, text: str) -> str:
        """Return the text without the parts that differ between runs."""
        return text.replace(str(self.directory), "/site")


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set this host's time zone, in which times are shown, to UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def golden() -> Callable[[str, str], None]:
    """Compare a text with a golden file; STOPIT_GOLDEN=write writes the file again."""

    def compare(name: str, said: str) -> None:
        path = GOLDEN / f"{name}.txt"
        if os.environ.get("STOPIT_GOLDEN") == "write":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(said, "utf-8")
        assert said == path.read_text("utf-8")

    return compare
