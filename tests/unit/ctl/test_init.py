"""stopitctl init: a configuration is overwritten only with --force, and a key never."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from stopit_core import config
from stopit_core.identity.keys import read_key

ROOT = Path(__file__).parents[3]


@pytest.fixture
def etc(tmp_path: Path) -> Path:
    return tmp_path / "etc"


def test_a_new_site_can_be_used(host, etc: Path, golden: Callable[[str, str], None]) -> None:
    done = host.run("init", "example.edu", "--dir", str(etc), "--state-dir", str(host.directory / "state"))
    assert done.exit_code == 0, done.output
    settings = config.load(etc / "stopit.toml")
    assert settings.campus.domains == ("example.edu",)
    assert settings.campus.report_address == "stopit@example.edu"
    assert settings.campus.staff_address == "stopit-staff@example.edu"
    assert settings.queue.url == f"sqlite:///{host.directory}/state/queue.db"
    assert settings.cases.url == f"sqlite:///{host.directory}/state-notifier/cases.db"
    assert read_key(settings.ledger.key_file)
    golden("init", "\n".join(line for line in host.masked(done.stdout).splitlines() if "Only you" not in line) + "\n")


def test_options_stand_in_the_file(host, etc: Path) -> None:
    host.run(
        "init",
        "example.edu",
        "--dir",
        str(etc),
        "--name",
        'The "Old" University',
        "--report-address",
        "help@example.edu",
        "--staff-address",
        "dean@example.edu",
    )
    campus = config.load(etc / "stopit.toml").campus
    assert (campus.name, campus.report_address, campus.staff_address) == (
        'The "Old" University',
        "help@example.edu",
        "dean@example.edu",
    )


def test_secrets_are_readable_by_no_stranger(host, etc: Path) -> None:
    host.run("init", "example.edu", "--dir", str(etc))
    for name in ("stopit.toml", "site.key"):
        assert not (etc / name).stat().st_mode & (stat.S_IRWXO | stat.S_IWGRP)


def test_a_second_time_nothing_is_touched(host, etc: Path) -> None:
    host.run("init", "example.edu", "--dir", str(etc))
    before = {path: path.read_bytes() for path in etc.iterdir()}
    done = host.run("init", "other.example", "--dir", str(etc))
    assert done.exit_code == 1
    assert "--force" in done.stderr
    assert {path: path.read_bytes() for path in etc.iterdir()} == before


def test_force_keeps_the_key_and_the_old_file(host, etc: Path) -> None:
    host.run("init", "example.edu", "--dir", str(etc))
    key, old = (etc / "site.key").read_bytes(), (etc / "stopit.toml").read_bytes()
    for number in (1, 2):
        done = host.run("init", "other.example", "--dir", str(etc), "--force")
        assert done.exit_code == 0
        assert f"stopit.toml.{number}" in done.stdout
    assert (etc / "site.key").read_bytes() == key
    assert (etc / "stopit.toml.1").read_bytes() == old
    assert config.load(etc / "stopit.toml").campus.domains == ("other.example",)
    assert "no trace and no reply address could be read" in done.stdout


def test_a_missing_key_is_made_beside_a_configuration(host, etc: Path) -> None:
    host.run("init", "example.edu", "--dir", str(etc))
    (etc / "site.key").unlink()
    text = (etc / "stopit.toml").read_bytes()
    assert host.run("init", "example.edu", "--dir", str(etc)).exit_code == 0
    assert (etc / "site.key").exists()
    assert (etc / "stopit.toml").read_bytes() == text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nonsense",), "must be a mail domain"),
        (("example.edu", "--staff-address", "stopit@example.edu"), "must be another one"),
        (("example.edu", "--name", "two\nlines"), "is not TOML"),
    ],
)
def test_what_cannot_be_a_site_is_wrong_usage(host, etc: Path, arguments: tuple[str, ...], said: str) -> None:
    done = host.run("init", *arguments, "--dir", str(etc))
    assert done.exit_code == 2
    assert said in done.stderr
    assert not etc.exists()


def test_a_place_that_cannot_be_written_is_no_traceback(host) -> None:
    done = host.run("init", "example.edu", "--dir", "/proc/stopit")
    assert done.exit_code == 1
    assert "--dir sets another directory" in done.stderr


def test_a_file_of_comments_alone_is_replaced_and_a_key_beside_it_kept(host, etc: Path) -> None:
    """Start from the files of the Debian package."""
    etc.mkdir()
    (etc / "stopit.toml").write_text((ROOT / "debian" / "conffile" / "stopit.toml").read_text())
    (etc / "site.key").write_text("5" * 64 + "\n")

    done = host.run("init", "example.edu", "--dir", str(etc))

    assert done.exit_code == 0, done.output
    assert config.load(etc / "stopit.toml").campus.domains == ("example.edu",)
    assert (etc / "site.key").read_text() == "5" * 64 + "\n"
    assert {path.name for path in etc.iterdir()} == {"stopit.toml", "site.key"}
