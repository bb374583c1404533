"""stopitctl simulate: the same answer as the milter and the notifier would give, and nothing written."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from stopit_core.cases import Party
from stopit_core.decision.identify import Finding
from stopit_core.decision.policy import Reason
from stopit_core.identity.keys import new_ref
from stopit_core.identity.people import Person
from stopit_core.model import Assurance, Trace
from stopit_core.outgoing.facts import MessageKind, Outgoing
from stopit_ctl.simulate import FINDINGS, REASONS

HOUR = 3600.0
REPLY = (
    "From: Vera <vera@campus.example>\nTo: mallory@campus.example\nSubject: Re: you\n"
    "Message-ID: <reply@campus.example>\nIn-Reply-To: <original@campus.example>\n\nstopit\n\n> words\n"
)


@pytest.fixture
def running(host):
    """A site whose stores are there; mallory's message to vera and walt has a trace."""
    host.cases().close()
    trace(host, "original@campus.example", "mallory", "vera", "walt")
    return host


def trace(host, message_id: str, login: str, *recipients: str) -> None:
    digests = [host.keyring.address(f"{name}@campus.example") for name in recipients]
    host.ledger().write(
        [
            Trace(
                message=host.keyring.message(message_id),
                seen=time.time() - HOUR,
                queue_id="4ABC",
                login=login,
                mail_from=f"{login}@campus.example",
                header_from=f"{login}@campus.example",
                recipient_count=len(digests),
                recipients=b"".join(digests),
            )
        ]
    )


def contents(directory: Path) -> dict[str, list[str]]:
    """Everything that the databases hold."""
    found = {}
    for path in directory.glob("*.db"):
        with closing(sqlite3.connect(path)) as database:
            found[path.name] = list(database.iterdump())
    return found


def simulate(host, text: str, *options: str) -> str:
    done = host.run("simulate", "-", *options, stdin=text)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_flag_is_told_in_plain_words_and_nothing_is_written(running, golden: Callable[[str, str], None]) -> None:
    before = contents(running.directory)
    said = simulate(running, REPLY, "--login", "vera")
    passed = next(line for line in said.splitlines() if line.startswith("  passed "))
    golden("simulate", said.replace(passed[9:28], "2026-09-21 14:13:20"))
    assert contents(running.directory) == before


@pytest.mark.parametrize("name", ["FINDINGS", "REASONS"])
def test_there_are_words_for_everything(name: str) -> None:
    words, known = (FINDINGS, Finding) if name == "FINDINGS" else (REASONS, Reason)
    assert set(words) == set(known)


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (REPLY, (), "Not a flag: it was not submitted by a member"),
        (REPLY.replace("stopit", "please stopit"), ("--login", "vera"), "Not a flag: its first typed line"),
        (REPLY.replace("In-Reply-To", "X-Other"), ("--login", "vera"), "Not a flag: it is no reply"),
        ("Auto-Submitted: auto-replied\n" + REPLY, ("--login", "vera"), "Not a flag: a program wrote it"),
        ("List-Id: <l.campus.example>\n" + REPLY, ("--login", "vera"), "Not a flag: it came through a mailing list"),
        (REPLY, ("--login", "vera", "--mail-from", ""), "Not a flag: a program wrote it"),
        (REPLY.replace("original@", "other@"), ("--login", "vera"), "(no-trace)"),
        (REPLY, ("--login", "eve"), "(not-a-recipient)"),
        (REPLY, ("--login", "mallory"), "(own-message)"),
        (REPLY.replace("stopit", "stopit urgent"), ("--login", "vera"), "(urgent)"),
        (REPLY.replace("stopit", "stopit record"), ("--login", "vera"), "(record-asked)"),
        (REPLY, ("--rcpt", "stopit@campus.example"), "(reporter-not-verified)"),
        (REPLY, ("--login", "vera", "--rcpt", "a@b.example", "--rcpt", "c@d.example"), "addressed to (2)"),
    ],
)
def test_what_would_be_decided(running, text: str, options: tuple[str, ...], said: str) -> None:
    assert said in simulate(running, text, *options)


def test_a_file_is_read(running, tmp_path: Path) -> None:
    path = tmp_path / "flag.eml"
    path.write_text(REPLY)
    assert "(notice-due)" in running.run("simulate", str(path), "--login", "vera").stdout
    assert running.run("simulate", str(tmp_path / "none.eml")).exit_code == 2


def test_the_single_recipient_is_asked_where_the_site_wants_it(running) -> None:
    trace(running, "alone@campus.example", "mallory", "vera")
    running.configure(policy={"single_recipient": "ask"})
    assert "(single-recipient-ask)" in simulate(running, REPLY.replace("original@", "alone@"), "--login", "vera")


def test_the_record_has_its_say(running) -> None:
    """A notice that waits for this sender is found."""
    ref = new_ref()
    with running.cases().work() as work:
        sender = Person("mallory@campus.example", Assurance.AUTHENTICATED)
        case, _ = work.case_for("sender:mallory@campus.example", sender, time.time())
        notice = Outgoing(MessageKind.NOTICE, ref, f"{ref}@x", "stopit@campus.example", sender.address, b"words")
        work.enqueue(notice, case.id, Party.SENDER, "notice", time.time() + 900, time.time())
    assert "(notice-pending)" in simulate(running, REPLY, "--login", "vera")


def test_a_trusted_relay_counts(running) -> None:
    running.configure(identity={"trusted_relays": ["192.0.2.7"]})
    said = simulate(running, REPLY, "--client", "192.0.2.7")
    assert "Submitted through a trusted relay, as vera@campus.example." in said
    assert "(notice-due)" in said


def test_observe_and_deliver_are_said(running) -> None:
    running.configure(milter={"mode": "observe", "reply": "deliver"})
    said = simulate(running, REPLY, "--login", "vera")
    assert "only written down" in said
    assert "Its recipients get it" in said


def test_an_answer_to_us_is_said(running) -> None:
    token = running.keyring.token("a" * 16)
    said = simulate(running, REPLY, "--login", "vera", "--rcpt", f"stopit+{token}@campus.example")
    assert f"It answers {'a' * 16}" in said


@pytest.mark.parametrize("data", ["", "\n", "\0" * 50, "In-Reply-To: <>\n\nstopit\n", "To: \x1b[2J\n\nx"])
def test_hostile_mail_is_no_traceback(running, data: str) -> None:
    done = running.run("simulate", "-", "--login", "vera", stdin=data)
    assert done.exit_code == 0, done.output
    assert "\x1b" not in done.output


def test_no_ledger_yet(host) -> None:
    done = host.run("simulate", "-", "--login", "vera", stdin=REPLY)
    assert done.exit_code == 1
    assert "A flag: channel reply" in done.stdout
    assert "there is no such file yet" in done.stderr
