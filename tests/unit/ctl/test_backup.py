"""stopitctl backup and restore: the contents of a backup, the obstacles to a restore, and the messages to staff."""

from __future__ import annotations

import json
import re
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import BaseModel

from case_rows import report_row
from stopit_core.cases import CaseState, MessageState, Party
from stopit_core.config import Settings
from stopit_core.identity.keys import new_ref
from stopit_core.identity.people import Person
from stopit_core.model import Assurance, Channel, Command, Digest, FlagReport, Trace
from stopit_core.outgoing.facts import NoticeFacts
from stopit_core.outgoing.render import Renderer
from stopit_core.stores.ledger.sqlite import SqliteLedger
from stopit_core.stores.queue.spool import Spool
from stopit_core.wire import encode_report

NOW = 1_790_000_000.0
MALLORY = Person("mallory@campus.example", Assurance.AUTHENTICATED)
VERA = "vera@campus.example"


def flag(report_id: str) -> bytes:
    return encode_report(
        FlagReport(report_id, NOW, "4XQ", Channel.REPLY, Command.FLAG, VERA, Assurance.AUTHENTICATED, ())
    )


class Site:
    """A host with a case with a pending notice, with reports in every store, a trace, and a backup of all."""

    def __init__(self, host) -> None:
        self.host = host
        self.backup = host.directory / "backup"
        templates = host.directory / "templates"
        templates.mkdir()
        (templates / "_day.txt.j2").write_text("{{ iso_date }}")
        settings = host.configure(notifier={"templates": templates})
        self.store = host.cases()
        with self.store.work() as work:
            case, new = work.case_for(f"sender:{MALLORY.address}", MALLORY, NOW)
            row = report_row(case.id, "r1:0", NOW)
            work.add_report(row, new)
            renderer = Renderer.load(settings.campus, settings.flag, settings.office, host.keyring)
            facts = NoticeFacts(case.number, renderer.day(NOW))
            self.notice = renderer.render(facts, recipient=MALLORY.address, ref=new_ref(), at=NOW)
            work.join_notice(row.key, work.enqueue(self.notice, case.id, Party.SENDER, "notice", NOW, NOW))
            self.number = case.number
        Spool(settings.queue.spool_dir).put("spooled", flag("spooled"))
        queue = host.queue()
        for report_id in ("dead", "queued", "spooled"):
            queue.put(report_id, flag(report_id))
        queue.put("garbage", b"\x09 garbage")
        queue.bury(queue.claim("test", 1, 60.0)[0].id, "why")
        host.ledger().write([Trace(message=Digest(b"o" * 16), seen=NOW)])

    def lose(self) -> None:
        """Remove everything but the backup and the templates."""
        for path in [*self.host.directory.glob("*.db*"), self.host.path, self.host.key]:
            path.unlink()
        shutil.rmtree(self.host.directory / "spool")

    def said(self, *arguments: str) -> str:
        done = self.host.run(*arguments)
        assert done.exit_code == 0, done.output
        return self.host.masked(re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "2026-11-24 12:00:00", done.output))

    def back_up(self) -> str:
        return self.said("backup", str(self.backup))

    def refused(self, *arguments: str) -> str:
        done = self.host.run("restore", *(arguments or (str(self.backup),)))
        assert done.exit_code == 1, done.output
        return self.host.masked(done.stderr)

    def messages(self) -> dict[str, MessageState]:
        """Return the states of the messages in the outbox by kind."""
        with self.host.cases().reading() as reading:
            case = reading.case(self.number)
            assert case is not None
            assert reading.broken_at(case) is None
            return {message.kind: message.state for message in reading.messages(case)}

    def messages_after_restore(self, *options: str) -> dict[str, MessageState]:
        self.said("restore", *options, str(self.backup))
        return self.messages()

    def state(self) -> CaseState:
        with self.host.cases().reading() as reading:
            case = reading.case(self.number)
            assert case is not None
            return case.state


@pytest.fixture
def site(host) -> Site:
    return Site(host)


def test_a_backup_says_what_is_in_it(site: Site, golden: Callable[[str, str], None]) -> None:
    said = site.back_up()
    golden("backup", re.sub(r"in \d+ rows|\d+ kB", lambda found: re.sub(r"\d+", "9", found[0]), said))
    assert (site.backup / "manifest.json").is_file()


def test_every_file_that_the_configuration_names_is_in_it(site: Site) -> None:
    names = ["aliases", "smtp.password"]
    for name in names:
        (site.host.directory / name).write_text("")
    smtp = {"login": "stopit", "password_file": site.host.directory / "smtp.password", "tls": "starttls"}
    templates = {"templates": site.host.directory / "templates"}
    site.host.configure(identity={"aliases": site.host.directory / "aliases"}, smtp=smtp, notifier=templates)
    site.back_up()
    kept = {path.name.partition("-")[2] for path in (site.backup / "etc").iterdir()}
    assert kept == {"stopit.toml", "site.key", "_day.txt.j2", *names}


def test_no_section_names_a_file_that_a_backup_forgets() -> None:
    """A new configuration key that names a file must be added to `backup._paths`, or is not a secret of the site."""
    named = {
        f"{section}.{key}"
        for section, field in Settings.model_fields.items()
        if isinstance(kind := field.annotation, type) and issubclass(kind, BaseModel)
        for key in kind.model_fields
        if key.endswith("_file") or key in ("aliases", "templates")
    }
    assert named == {
        "ledger.key_file",
        "identity.aliases",
        "notifier.templates",
        "queue.password_file",
        "ledger.password_file",
        "cases.password_file",
        "smtp.password_file",
    }


def test_a_backup_is_for_its_owner_alone(site: Site) -> None:
    site.back_up()
    for path in [site.backup, *site.backup.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_everything_comes_back(site: Site, golden: Callable[[str, str], None]) -> None:
    site.back_up()
    key, configuration = site.host.key.read_text(), site.host.path.read_text()
    site.lose()
    (site.host.directory / "templates" / "_day.txt.j2").unlink()

    said = site.said("restore", str(site.backup))

    golden("restore", said.replace(site.number, "7KQ4-M2XD"))
    assert (site.host.key.read_text(), site.host.path.read_text()) == (key, configuration)
    assert site.host.key.stat().st_mode & 0o777 == 0o600
    assert (site.host.directory / "templates" / "_day.txt.j2").read_text() == "{{ iso_date }}"
    payloads = {delivery.payload for delivery in site.host.queue().waiting(9)}
    assert payloads == {flag("dead"), flag("queued"), flag("spooled"), b"\x09 garbage"}
    assert len(SqliteLedger(site.host.directory / "ledger.db", 1e12).find(Digest(b"o" * 16))) == 1


def test_what_an_installation_made_and_nobody_used_makes_room(site: Site) -> None:
    """The Debian package installs a configuration of comments and a new key, and tmpfiles.d empty stores."""
    site.back_up()
    key = site.host.key.read_text()
    site.lose()
    site.host.path.write_text("# Not configured yet\n")
    site.host.key.write_text("ab" * 32)
    for name in ("queue.db", "ledger.db", "cases.db"):
        (site.host.directory / name).touch()
    assert "site.key.before-restore (the former /site/site.key" in site.said("restore", str(site.backup))
    assert site.host.key.read_text() == key
    assert (site.host.directory / "site.key.before-restore").read_text() == "ab" * 32
    assert "FAULT" not in site.host.run("check").output


def test_a_notice_that_waited_is_left_to_staff(site: Site) -> None:
    site.back_up()
    site.lose()
    assert site.messages_after_restore() == {"notice": MessageState.CANCELLED, "staff-alert": MessageState.PENDING}
    assert site.state() is CaseState.STAFF
    assert "outbox" in site.said("cases", "notice", site.number, "--yes")  # when staff found that it was not sent


def test_a_notice_whose_trace_is_there_had_left(site: Site) -> None:
    site.back_up()
    site.lose()
    with_trace = Trace(message=site.host.keyring.message(site.notice.message_id), seen=1e10, own=True)
    SqliteLedger(site.host.directory / "ledger.db", 1e12).write([with_trace])
    assert site.messages_after_restore() == {"notice": MessageState.SENDING}


def test_where_nothing_ran_since_everything_waits_on(site: Site) -> None:
    site.back_up()
    site.lose()
    assert site.messages_after_restore("--nothing-since") == {"notice": MessageState.PENDING}
    assert site.state() is CaseState.NOTICE_PENDING


def test_a_record_that_came_back_in_another_way(site: Site) -> None:
    said = site.said("restore", "--in-place")
    assert "Last entry of the case record: 2026-11-24 12:00:00." in said
    assert f"the notice of case {site.number}" in said
    assert site.messages()["notice"] is MessageState.CANCELLED


def test_a_ledger_is_left_out_where_one_asks(site: Site) -> None:
    assert "left out" in site.said("backup", str(site.backup), "--no-ledger")
    assert not (site.backup / "ledger.db").exists()


class TestRefusals:
    def test_a_directory_that_is_there(self, site: Site) -> None:
        site.backup.mkdir()
        done = site.host.run("backup", str(site.backup))
        assert done.exit_code == 1
        assert "exists already; name a new directory" in done.stderr

    def test_no_backup(self, site: Site) -> None:
        site.backup.mkdir()
        assert "it has no manifest.json" in site.refused()

    @pytest.mark.parametrize("name", ["cases.jsonl", "ledger.db", "reports/00000001", "etc/02-site.key"])
    def test_a_file_that_was_changed_or_is_missing(self, site: Site, name: str) -> None:
        site.back_up()
        site.lose()
        with (site.backup / name).open("ab") as file:
            file.write(b"x")
        assert f"{name}: was changed after the backup was made" in site.refused()
        (site.backup / name).unlink()
        assert f"{name} is missing" in site.refused()
        assert not list(site.host.directory.glob("*.db"))

    @pytest.mark.parametrize(
        ("change", "message"),
        [({"format": 2}, "has format 2; this version of Stopit reads 1"), (None, "cannot be read")],
    )
    def test_another_manifest(self, site: Site, change: dict[str, int] | None, message: str) -> None:
        site.back_up()
        path = site.backup / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change) if change else "no")
        assert message in site.refused()

    def test_a_record_with_cases(self, site: Site) -> None:
        site.back_up()
        assert "the case record of cases.url has cases in it" in site.refused()
        assert site.messages() == {"notice": MessageState.PENDING}

    def test_another_key(self, site: Site) -> None:
        site.back_up()
        site.lose()
        site.host.key.write_text("ab" * 32)
        (site.host.directory / "ledger.db").write_bytes(b"traces")
        assert "is not the key of the backup" in site.refused()
        assert site.host.key.read_text() == "ab" * 32

    @pytest.mark.parametrize("how", ["from", "in-place"])
    def test_a_daemon_that_runs(self, site: Site, how: str) -> None:
        site.back_up()
        with socket.create_server(("127.0.0.1", 0)) as server:
            site.host.configure(notifier={"metrics": f"127.0.0.1:{server.getsockname()[1]}"})
            arguments = [str(site.backup)] if how == "from" else ["--in-place"]
            assert "stopit-notifier is running (it answers at 127.0.0.1:" in site.refused(*arguments)
        assert site.messages() == {"notice": MessageState.PENDING}

    @pytest.mark.parametrize("arguments", [[], ["x", "--in-place"], ["--in-place", "--nothing-since"]])
    def test_wrong_usage(self, site: Site, arguments: list[str]) -> None:
        done = site.host.run("restore", *arguments)
        assert done.exit_code == 2
        assert "give the DIR of the backup, or --in-place" in done.stderr

    def test_what_another_ledger_left(self, site: Site) -> None:
        site.back_up()
        site.lose()
        wal = Path(f"{site.host.directory}/ledger.db-wal")
        wal.write_bytes(b"x")
        assert "ledger.db-wal: belongs to another ledger" in site.refused()
