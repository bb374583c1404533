"""stopitctl queue: waiting reports and reports set aside, with digests and with addresses."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stopit_core.model import AnswerReport, Assurance, Channel, Command, ContactReport, Digest, FlagReport, Original
from stopit_core.stores.queue.spool import Spool
from stopit_core.wire import encode_report

VERA = "vera@campus.example"
AT = 1_790_000_000.0
FLAG = FlagReport(
    id="f" * 32,
    at=AT,
    queue_id="4DEF",
    channel=Channel.REPLY,
    command=Command.URGENT,
    reporter=VERA,
    reporter_assurance=Assurance.AUTHENTICATED,
    originals=(Original(Digest(b"o" * 16)), Original(Digest(b"p" * 16), ambiguous=True), Original(Digest(b""))),
    withheld=2,
    observed=True,
    truncated=True,
)
ANSWER = AnswerReport(
    id="a" * 32,
    at=AT,
    queue_id="4DEG",
    ref="abcdefghijklmnop",
    author=VERA,
    null_sender=True,
    raw=b"From: vera@campus.example\r\nSubject: \x1b[2Jgone\xe2\x80\xae\r\n\r\ncancel \xff\r\n",
)
CONTACT = ContactReport(id="c" * 32, at=AT, queue_id="4DEH", pair=Digest(b"pairpair"))


@pytest.fixture
def filled(host):
    """A waiting flag, and an answer, a contact and garbage set aside: ids "1" to "4"."""
    queue = host.queue()
    for report in (FLAG, ANSWER, CONTACT):
        queue.put(report.id, encode_report(report))
    queue.put("garbage", b"\x09vera@campus.example")
    for delivery in queue.claim("test", 4, 60.0)[1:]:
        queue.bury(delivery.id, "cause of \x1b[31mdeath")
    return host


def test_the_list_counts_everything(filled) -> None:
    Spool(filled.directory / "spool").put("r1", b"x")
    done = filled.run("queue", "list")
    assert done.exit_code == 0
    assert "flag (urgent)" in done.stdout
    assert "0 waiting, 1 in process, 3 set aside" in done.stdout
    assert "1 in the spool, waiting for the queue." in done.stdout
    assert VERA not in done.output
    assert "\x1b" not in done.output
    assert r"cause of \x1b[31mdeath" in done.stdout


def test_only_the_dead(filled) -> None:
    done = filled.run("queue", "list", "--dead")
    assert "flag (urgent)" not in done.stdout
    assert [line.split()[1] for line in done.stdout.splitlines()[1:4]] == ["answer", "contact", "unreadable"]


def test_an_empty_queue(host) -> None:
    host.queue().ping()
    assert host.run("queue", "list").stdout == "0 waiting, 0 in process, 0 set aside.\nThe spool is empty.\n"


def test_a_queue_that_is_not_there_yet(host) -> None:
    done = host.run("queue", "list")
    assert done.exit_code == 1
    assert "there is no such file yet" in done.stderr
    assert not (host.directory / "queue.db").exists()


@pytest.mark.parametrize(("number", "name"), [("1", "flag"), ("2", "answer"), ("3", "contact"), ("4", "garbage")])
@pytest.mark.parametrize("addresses", [(), ("--addresses",)], ids=["digests", "addresses"])
def test_a_report_is_shown(
    filled, number: str, name: str, addresses: tuple[str, ...], golden: Callable[[str, str], None]
) -> None:
    done = filled.run("queue", "show", number, *addresses)
    assert done.exit_code == 0
    assert "\x1b" not in done.stdout
    assert addresses or VERA not in done.stdout
    # The time of the put comes from the clock.
    kept = [line for line in done.stdout.splitlines() if not line.startswith(("put ", "set aside "))]
    golden(f"queue-show-{name}{'-addresses' if addresses else ''}", "\n".join(kept) + "\n")


def test_an_unknown_report(filled) -> None:
    done = filled.run("queue", "show", "77")
    assert done.exit_code == 1
    assert "there is no report 77" in done.stderr


def test_retry_puts_back(filled) -> None:
    done = filled.run("queue", "retry", "2", "77")
    assert done.exit_code == 1
    assert done.stdout == "1 put back into the queue.\n"
    assert "77" in done.stderr
    assert len(filled.queue().dead(10)) == 2
    assert filled.run("queue", "retry", "--all").stdout == "2 put back into the queue.\n"
    assert filled.queue().dead(10) == []


@pytest.mark.parametrize("arguments", [(), ("2", "--all")])
def test_retry_wants_to_know_which(filled, arguments: tuple[str, ...]) -> None:
    assert filled.run("queue", "retry", *arguments).exit_code == 2
    assert len(filled.queue().dead(10)) == 3


def test_drop_asks_first(filled) -> None:
    assert filled.run("queue", "drop", "2", stdin="n\n").exit_code == 1
    assert len(filled.queue().dead(10)) == 3
    assert filled.run("queue", "drop", "2", stdin="y\n").exit_code == 0
    assert filled.run("queue", "drop", "3", "--yes").stdout == "1 dropped.\n"
    assert [dead.id for dead in filled.queue().dead(10)] == ["4"]


def test_what_waits_cannot_be_dropped(filled) -> None:
    done = filled.run("queue", "drop", "1", "--yes")
    assert done.exit_code == 1
    assert filled.queue().depths().claimed == 1
