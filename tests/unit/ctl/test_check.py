"""stopitctl check: all faults at once, each with advice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stopit_core.errors import Transient
from stopit_core.stores.queue.spool import Spool


def test_a_site_that_never_ran_is_in_order(host, golden: Callable[[str, str], None]) -> None:
    done = host.run("check")
    assert done.exit_code == 0, done.output
    golden("check", host.masked("".join(f"{line}\n" for line in done.stdout.splitlines() if "users:" not in line)))
    assert not list(host.directory.glob("*.db")), "looking makes no database"
    assert not (host.directory / "spool").exists()


def test_a_site_that_ran_is_in_order(host) -> None:
    host.ledger().ping()
    host.queue().ping()
    host.cases().close()
    (host.directory / "spool").mkdir()
    done = host.run("check")
    assert done.exit_code == 0, done.output
    assert "ledger: answers" in done.stdout
    assert "queue: answers" in done.stdout
    assert "spool: accepts files" in done.stdout
    assert "its tables are those of this version" in done.stdout


def test_faults_of_every_kind_come_at_once(host, golden: Callable[[str, str], None]) -> None:
    """Key, aliases, templates, plug-in, password and stores: one run reports them all."""
    templates = host.directory / "templates"
    templates.mkdir()
    (templates / "notice.txt.j2").write_text("Subject: {% block subject %}A{% endblock %}\n\n{{ reporter }}\n")
    (templates / "notise.txt.j2").write_text("x")
    aliases = host.directory / "aliases"
    aliases.write_text("a: b\nnonsense\n")
    host.key.write_text("short")
    host.configure(
        identity={"aliases": aliases, "directory": "ldap"},
        notifier={"templates": templates},
        smtp={"login": "stopit", "password_file": host.directory / "password"},
        queue={"spool_dir": host.directory / "nowhere" / "spool"},
        ledger={"url": f"sqlite:///{host.directory}/nowhere/ledger.db"},
        cases={"url": f"sqlite:///{host.directory}/nowhere/cases.db"},
    )
    done = host.run("check")
    assert done.exit_code == 1
    golden("check-faults", host.masked(done.stderr))


def test_a_key_under_its_old_name_is_a_warning(host) -> None:
    host.path.write_text(host.path.read_text().replace("#max_messages = ", "recycle_after = "))
    done = host.run("check")
    assert done.exit_code == 0, done.output
    (line,) = [line for line in done.output.splitlines() if line.startswith("warning")]
    assert f"{host.path}: milter.recycle_after: is now milter.max_messages" in line


def test_a_broken_configuration_ends_it_with_78(host) -> None:
    host.path.write_text(host.path.read_text().replace("[policy]", "[polcy]"))
    done = host.run("check")
    assert done.exit_code == 78
    assert "polcy: unknown key; did you mean policy?" in done.stderr
    assert "Traceback" not in done.output


def test_a_missing_configuration_says_how_to_make_one(host) -> None:
    host.path.unlink()
    done = host.run("check")
    assert done.exit_code == 78
    assert "`stopitctl init` writes one" in done.stderr


@pytest.mark.parametrize("mode", [0o644, 0o666, 0o660])
def test_a_key_for_everybody_is_a_fault(host, mode: int) -> None:
    host.key.chmod(mode)
    done = host.run("check")
    assert done.exit_code == 1
    assert "chmod 0640" in done.stderr


def test_what_was_set_aside_is_a_fault(host) -> None:
    queue = host.queue()
    queue.put("r1", b"x")
    (delivery,) = queue.claim("test", 1, 60.0)
    queue.bury(delivery.id, "why not")
    done = host.run("check")
    assert done.exit_code == 1
    assert "reports set aside: 1" in done.stderr


def test_a_spool_that_is_not_empty_is_a_fault(host) -> None:
    Spool(host.directory / "spool").put("r1", b"x")
    done = host.run("check")
    assert done.exit_code == 1
    assert "reports waiting for the queue: 1" in done.stderr


def test_a_case_record_of_another_version_is_named(host) -> None:
    (host.directory / "cases.db").touch()
    done = host.run("check")
    assert done.exit_code == 0
    assert "its tables are not those of this version" in done.stdout


def test_a_database_that_is_none_is_a_fault(host) -> None:
    for name in ("queue", "ledger", "cases"):
        (host.directory / f"{name}.db").write_bytes(b"this is no database, but long enough to be read as one" * 50)
    done = host.run("check")
    assert done.exit_code == 1
    for name in ("ledger", "queue", "case record"):
        assert f"FAULT   {name}: " in done.stderr


def test_redis_that_is_away_is_a_fault(host) -> None:
    url = f"unix://{host.directory}/redis.sock"
    host.configure(queue={"url": url}, ledger={"url": url})
    done = host.run("check")
    assert done.exit_code == 1
    assert "FAULT   ledger: redis" in done.stderr
    assert "FAULT   queue: redis" in done.stderr
    assert Transient.__name__ not in done.output


def test_plain_lines_in_a_pipe(host) -> None:
    assert "\x1b" not in host.run("check").output


def test_no_secret_is_shown(host, tmp_path: Path) -> None:
    host.configure(queue={"url": "redis://:hunter2@127.0.0.1:1/0"})
    done = host.run("check")
    assert "hunter2" not in done.output


def test_a_password_of_the_case_record_that_the_milter_could_read_is_a_fault(host) -> None:
    host.configure(cases={"url": "postgresql+psycopg://stopit:secret@127.0.0.1:1/cases"})
    done = host.run("check")
    assert done.exit_code == 1
    assert "cases.url: holds a password, and stopit-milter can read this file too" in done.stderr
    assert "secret" not in done.output
