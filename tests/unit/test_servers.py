"""The one rule for servers that a test needs and that are missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import servers

TESTS = Path(__file__).parents[1]
NEEDS_REDIS = "tests/contract/test_ledger.py"


def test_a_program_is_found_by_name() -> None:
    assert servers.program("sh").endswith("/sh")


def test_a_missing_program_skips_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STOPIT_SERVERS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="needs no-such-server"):
        servers.program("no-such-server")


def test_a_missing_program_fails_the_test_where_servers_are_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOPIT_SERVERS", "required")
    with pytest.raises(pytest.fail.Exception, match="needs no-such-server"):
        servers.program("no-such-server")


def test_all_missing_programs_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOPIT_SERVERS", "required")
    with pytest.raises(pytest.fail.Exception, match="needs no-such-server, nor-this"):
        servers.require("sh", "no-such-server", "nor-this")


def test_a_hidden_program_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STOPIT_SERVERS", "required")
    monkeypatch.setenv("STOPIT_HIDDEN", "cat,sh")
    with pytest.raises(pytest.fail.Exception, match="needs sh"):
        servers.program("sh")


@pytest.mark.parametrize(("required", "status"), [("required", 1), ("", 0)])
def test_a_test_on_a_hidden_redis_fails_only_where_servers_are_required(required: str, status: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-x", NEEDS_REDIS, "-k", "redis"],
        cwd=TESTS.parent,
        env={**os.environ, "STOPIT_SERVERS": required, "STOPIT_HIDDEN": "redis-server"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == status, done.stdout + done.stderr
    assert "needs redis-server" in done.stdout
    assert " passed" not in done.stdout


def test_no_other_module_has_a_rule_of_its_own() -> None:
    others = set(TESTS.rglob("*.py")) - {Path(__file__), Path(servers.__file__)}
    assert not [path for path in others if "STOPIT_SERVERS" in path.read_text()]
