"""The reload of settings: which keys keep their value until a restart, and what the log says."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from stopit_core import config
from stopit_core.daemon.logs import open_log
from stopit_core.daemon.systemd import reload_settings
from stopit_core.errors import ConfigError

CAMPUS = {
    "name": "X",
    "domains": ["campus.example"],
    "report_address": "stopit@campus.example",
    "staff_address": "staff@campus.example",
}
KEYS = [(section, key) for section, keys in config.restart_keys().items() for key in keys]
"""Every key that needs a restart."""
OTHER_VALUES: dict[tuple[str, str], Any] = {
    ("milter", "socket"): "inet:8891@127.0.0.1",
    ("milter", "workers"): 5,
    ("milter", "max_messages"): 7,
    ("milter", "metrics"): "127.0.0.1:1",
    ("queue", "url"): "redis://localhost:1/0",
    ("queue", "password_file"): Path("/srv/password"),
    ("queue", "spool_dir"): Path("/srv/spool"),
    ("queue", "max_attempts"): 3,
    ("ledger", "url"): "redis://localhost:1/0",
    ("ledger", "password_file"): Path("/srv/password"),
    ("ledger", "retention"): 86400.0,
    ("ledger", "key_file"): Path("/srv/site.key"),
    ("cases", "url"): "sqlite:////srv/cases.db",
    ("cases", "password_file"): Path("/srv/password"),
    ("notifier", "metrics"): "127.0.0.1:1",
}
SERVERS = {"queue": "redis://localhost:2/0", "ledger": "redis://localhost:2/0", "cases": "postgresql+psycopg://u@h/d"}


@pytest.fixture
def log_lines() -> io.StringIO:
    return io.StringIO()


def settings(**sections: dict[str, Any]) -> config.Settings:
    return config.parse(config.describe({"campus": CAMPUS, **sections}), "stopit.toml")


def test_each_key_that_needs_a_restart_has_another_value_here() -> None:
    assert set(KEYS) == set(OTHER_VALUES)


@pytest.mark.parametrize(("section", "key"), KEYS)
def test_a_key_that_needs_a_restart_is_named_and_keeps_its_value(
    section: str, key: str, log_lines: io.StringIO
) -> None:
    base = {"url": SERVERS[section]} if key == "password_file" else {}
    before = settings(**{section: base})
    after = settings(**{section: base | {key: OTHER_VALUES[section, key]}})
    assert getattr(getattr(after, section), key) != getattr(getattr(before, section), key)
    assert reload_settings(before, lambda: after, open_log("x", log_lines)) == before
    assert f"keys={section}.{key}" in log_lines.getvalue()
    assert "needs a restart" in log_lines.getvalue()


def test_other_keys_take_effect_without_a_word(log_lines: io.StringIO) -> None:
    after = settings(milter={"reply": "deliver"}, policy={"cooldown": 86400.0})
    assert reload_settings(settings(), lambda: after, open_log("x", log_lines)) == after
    assert log_lines.getvalue() == ""


def test_a_faulty_file_keeps_the_old_settings(log_lines: io.StringIO) -> None:
    def faulty() -> config.Settings:
        return config.parse("[campus]\nnam = 1\n", "stopit.toml")

    assert reload_settings(settings(), faulty, open_log("x", log_lines)) is None
    assert log_lines.getvalue().count("reload refused") == len(_faults(faulty))


def test_a_key_under_its_old_name_is_named_on_reload(log_lines: io.StringIO) -> None:
    text = config.describe({"campus": CAMPUS}).replace("#max_messages = 200000", "recycle_after = 200000")
    after = config.parse(text, "stopit.toml")
    assert reload_settings(settings(), lambda: after, open_log("x", log_lines)) is not None
    assert "milter.recycle_after" in log_lines.getvalue()
    assert "milter.max_messages" in log_lines.getvalue()


def _faults(read: Any) -> tuple[object, ...]:
    with pytest.raises(ConfigError) as caught:
        read()
    return caught.value.faults
