"""stopitctl simulate: the same result as from the milter and the notifier, and nothing written."""

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
    """Return the contents of all databases."""
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
        (REPLY.replace("stopit", "stopit urgent"), ("--login", "mallory"), "(urgent)"),
        (REPLY.replace("stopit", "stopit urgent"), ("--rcpt", "stopit@campus.example"), "(urgent)"),
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


def token_address(running, ref: str) -> str:
    return f"stopit+{running.keyring.token(ref)}@campus.example"


def behind_attachment(line: str, lines: int) -> str:
    """Return a flagging reply whose text comes after an attachment with this number of lines."""
    head, _, _ = REPLY.partition("\nstopit")
    attached = f"--b\nContent-Type: application/pdf\n\n{line * lines}"
    text = "--b\nContent-Type: text/plain\n\nstopit\n--b--\n"
    return f"{head}Content-Type: multipart/mixed; boundary=b\n\n{attached}{text}"


ACCEPTED_AT_ONCE = "The milter accepts it at the end of its headers, unchanged, and does not read its body."
UNCHANGED = "The milter reads it and accepts it unchanged."


class TestWhatTheMilterDoes:
    """Each case in which an earlier simulate differed from the milter."""

    def test_ordinary_mail_is_accepted_at_end_of_headers(self, running) -> None:
        said = simulate(running, REPLY.replace("In-Reply-To", "X-Other"), "--login", "vera")
        assert ACCEPTED_AT_ONCE in said
        assert UNCHANGED not in said

    def test_a_reply_that_is_no_flag_is_read(self, running) -> None:
        said = simulate(running, REPLY.replace("stopit", "hello"), "--login", "vera")
        assert UNCHANGED in said
        assert ACCEPTED_AT_ONCE not in said

    def test_the_keyword_to_a_reply_address_alone_is_an_answer(self, running) -> None:
        said = simulate(running, REPLY, "--login", "vera", "--rcpt", token_address(running, "a" * 16))
        assert f"An answer to {'a' * 16}, from vera@campus.example" in said
        assert "The reply address gets nothing; staff get a copy." in said
        assert "flag" not in said

    def test_a_flag_to_a_reply_address_and_others_is_a_flag(self, running) -> None:
        path = token_address(running, "a" * 16)
        said = simulate(running, REPLY, "--login", "vera", "--rcpt", path, "--rcpt", "mallory@campus.example")
        assert "A flag: channel reply" in said
        assert "Withheld from all it is addressed to (2)" in said
        assert "An answer" not in said

    @pytest.mark.parametrize(
        ("extra", "options"),
        [("", ("--mail-from", "")), ("Auto-Submitted: auto-replied\n", ())],
        ids=["bounce", "vacation"],
    )
    def test_a_program_s_answer_reaches_nobody(self, running, extra: str, options: tuple[str, ...]) -> None:
        said = simulate(running, extra + REPLY, "--rcpt", token_address(running, "a" * 16), *options)
        assert f"An answer to {'a' * 16}, from a program" in said
        assert "The reply address gets nothing; nobody gets a copy." in said

    def test_own_mail_is_no_flag(self, running) -> None:
        options = ("--mail-from", token_address(running, "a" * 16), "--client", "127.0.0.1")
        said = simulate(running, REPLY, *options, "--rcpt", "stopit@campus.example")
        assert "Stopit's own mail: it is traced as such, and never a flag." in said
        assert "A flag" not in said
        elsewhere = simulate(running, REPLY, *options[:3], "192.0.2.66", "--rcpt", "stopit@campus.example")
        assert "own mail:" not in elsewhere
        assert "A flag: channel report-address" in elsewhere

    @pytest.mark.parametrize("mode", ["enforce", "observe"])
    def test_a_self_test_reaches_nobody_in_any_mode(self, running, mode: str) -> None:
        running.configure(milter={"mode": mode})
        path = token_address(running, running.keyring.new_self_test_ref())
        said = simulate(running, "Auto-Submitted: auto-generated\n\nx\n", "--mail-from", "", "--rcpt", path)
        assert "The message of a self-test (stopitctl doctor --send-test): it reaches nobody." in said

    def test_observe_withholds_nothing(self, running) -> None:
        running.configure(milter={"mode": "observe"})
        said = simulate(running, REPLY, "--login", "vera")
        assert "Its recipients get it, and staff get no copy." in said
        assert "only recorded" in said
        assert "Withheld" not in said
        answer = simulate(running, REPLY, "--login", "vera", "--rcpt", token_address(running, "a" * 16))
        assert "Its recipients get it, and staff get no copy." in answer

    def test_deliver_still_puts_staff_in_place_of_the_report_address(self, running) -> None:
        running.configure(milter={"reply": "deliver"})
        said = simulate(
            running, REPLY, "--login", "vera", "--rcpt", "stopit@campus.example", "--rcpt", "walt@campus.example"
        )
        assert "Withheld from stopit@campus.example alone; staff get a copy." in said

    def test_from_outside_only_the_report_address_is_withheld(self, running) -> None:
        said = simulate(running, REPLY, "--rcpt", "stopit@campus.example", "--rcpt", "walt@campus.example")
        assert "Withheld from stopit@campus.example alone; staff get a copy." in said

    def test_staff_among_the_recipients_keep_their_copy_and_are_not_counted(self, running) -> None:
        paths = ("walt@campus.example", "walt@campus.example", "Stopit-Staff@campus.example")
        options = [word for path in paths for word in ("--rcpt", path)]
        assert "Withheld from all it is addressed to (1); staff get the only copy." in simulate(
            running, REPLY, "--login", "vera", *options
        )

    def test_header_fields_of_ours_from_outside_are_removed(self, running) -> None:
        forged = "X-Stopit-Report: 1\nx-stopit-flag: urgent\n" + REPLY
        said = simulate(running, forged)
        assert "Not a flag: it was not submitted by a member" in said
        assert "Header fields that only the milter may add are removed: x-stopit-flag, x-stopit-report." in said
        assert ACCEPTED_AT_ONCE not in said
        members = simulate(running, forged.replace("stopit\n\n>", "hello\n\n>"), "--login", "mallory")
        assert UNCHANGED in members
        assert "removed" not in members

    def test_headers_are_read_as_far_as_the_milter_reads_them(self, running) -> None:
        pad = ("X-Pad: " + "x" * 993 + "\n") * 70
        assert "A flag: channel reply" in simulate(running, pad * 4 + REPLY, "--login", "vera")
        assert "Not a flag: its first typed line" in simulate(
            running, pad * 8 + REPLY.replace("stopit", "hello"), "--login", "vera"
        )

    def test_a_reply_s_body_is_read_as_far_as_the_milter_reads_it(self, running) -> None:
        assert "A flag" in simulate(running, behind_attachment("x" * 98 + "\n", 2000), "--login", "vera")
        longer = simulate(running, behind_attachment("x" * 98 + "\n", 4000), "--login", "vera")
        assert "Not a flag: its first typed line" in longer

    def test_a_line_end_counts_as_the_two_octets_that_the_mta_sends(self, running) -> None:
        """100,000 lines of one letter are 200 kB in a file and 300 kB for the milter."""
        assert "A flag" in simulate(running, behind_attachment("x\n", 80_000), "--login", "vera")
        assert "Not a flag" in simulate(running, behind_attachment("x\n", 100_000), "--login", "vera")

    def test_what_was_cut_is_said(self, running) -> None:
        text = REPLY + "x" * (1024 * 1024)
        said = simulate(running, text, "--login", "vera", "--rcpt", "stopit@campus.example")
        assert "It is longer than what the milter reads: messages that it carries may be missing." in said

    def test_a_line_that_is_no_field_ends_the_headers(self, running) -> None:
        said = simulate(running, REPLY.replace("In-Reply-To", "no field here\nIn-Reply-To"), "--login", "vera")
        assert "Not a flag: it is no reply" in said


@pytest.mark.parametrize("data", ["", "\n", "\0" * 50, "In-Reply-To: <>\n\nstopit\n", "To: \x1b[2J\n\nx"])
def test_hostile_mail_is_no_traceback(running, data: str) -> None:
    done = running.run("simulate", "-", "--login", "vera", stdin=data)
    assert done.exit_code == 0, done.output
    assert "\x1b" not in done.output


@pytest.mark.parametrize("data", ["", "\0" * 9000, "stopit\n", " From: vera\n\nstopit\n"])
def test_a_file_that_is_no_mail_is_named(running, data: str) -> None:
    assert simulate(running, data, "--login", "vera").startswith("It has no header field")


def test_a_mail_is_not_called_no_mail(running) -> None:
    assert "no header field" not in simulate(running, REPLY, "--login", "vera")


def test_no_ledger_yet(host) -> None:
    done = host.run("simulate", "-", "--login", "vera", stdin=REPLY)
    assert done.exit_code == 1
    assert "A flag: channel reply" in done.stdout
    assert "there is no such file yet" in done.stderr
