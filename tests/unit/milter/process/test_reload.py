"""The reload of the configuration: it is replaced as a whole, or not at all."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from stopit_core import config
from stopit_core.daemon.logs import open_log
from stopit_core.errors import ConfigError
from stopit_core.identity.keys import new_key
from stopit_milter.process.reload import MilterConfiguration


class TestReload:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        return tmp_path / "stopit.toml"

    def write(self, file: Path, **milter: Any) -> None:
        key = file.with_name("site.key")
        if not key.exists():
            key.write_text(new_key())
        values: dict[str, dict[str, Any]] = {
            "campus": {
                "name": "X",
                "domains": ["campus.example"],
                "report_address": "stopit@campus.example",
                "staff_address": "staff@campus.example",
            },
            "milter": milter,
            "queue": {"url": f"sqlite:///{file.parent}/q.db"},
            "ledger": {"url": f"sqlite:///{file.parent}/l.db", "key_file": key},
        }
        file.write_text(config.describe(values))

    def test_a_new_context_from_a_good_file(self, file: Path, log_lines: io.StringIO) -> None:
        self.write(file)
        configuration = MilterConfiguration.read(file)
        before = configuration.context
        self.write(file, reply="deliver", workers=4)
        assert configuration.reload(open_log("x", log_lines))
        assert (before.withhold, configuration.context.withhold) == (True, False)
        assert configuration.settings.milter.workers == 2
        assert "needs a restart" in log_lines.getvalue()

    @pytest.mark.parametrize("broken", ["toml", "key"])
    def test_the_old_one_stays_when_anything_is_wrong(self, file: Path, log_lines: io.StringIO, broken: str) -> None:
        self.write(file)
        configuration = MilterConfiguration.read(file)
        before = configuration.context
        if broken == "toml":
            file.write_text("[campus")
        else:
            file.with_name("site.key").write_text("short")
        assert not configuration.reload(open_log("x", log_lines))
        assert configuration.context is before
        assert "reload refused" in log_lines.getvalue()

    def test_a_file_with_an_unusable_store_is_refused_at_the_start(self, file: Path) -> None:
        self.write(file)
        file.write_text(file.read_text().replace(f"sqlite:///{file.parent}/q.db", "sqlite:////no/where/q.db"))
        with pytest.raises(ConfigError, match=r"queue\.url"):
            MilterConfiguration.read(file)
