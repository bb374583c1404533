"""stopitctl cases: the output with digests and with addresses, and the actions of staff."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from sqlalchemy import create_engine, text

from case_rows import report_row
from stopit_core.cases import Actor, CaseState, EventKind, MessageState, Party, ReportRow, Work
from stopit_core.cases.reading import Reading
from stopit_core.decision.policy import Reason
from stopit_core.identity.keys import new_ref
from stopit_core.identity.people import NOBODY, Person
from stopit_core.model import Assurance
from stopit_core.outgoing.facts import MessageKind, NoticeFacts
from stopit_core.outgoing.render import Renderer

MALLORY = Person("mallory@campus.example", Assurance.AUTHENTICATED)
VERA = "vera@campus.example"
NOW = 1_790_000_000.0
DAY = 86400.0


class Record:
    """A case record that is filled by the same steps as the notifier's."""

    def __init__(self, host) -> None:
        settings = host.settings
        self.store = host.cases()
        self.renderer = Renderer.load(settings.campus, settings.flag, settings.office, host.keyring)

    def report(
        self, key: str, reason: Reason, at: float = NOW, sender: Person = MALLORY, observed: bool = False
    ) -> str:
        """Add a report to the sender's case, and return the number of the case."""
        with self.store.work() as work:
            case, new = work.case_for(f"sender:{sender.address}", sender, at)
            work.add_report(
                report_row(
                    case.id,
                    key,
                    at,
                    reason,
                    sender=sender.address,
                    message_sent_at=at - 60 if sender.address else 0.0,
                    observed=observed,
                ),
                new,
            )
            return case.number

    def notice(self, key: str, at: float, sent: bool = True) -> None:
        """Add the first notice for a report, sent at that time."""
        with self.store.work() as work:
            row = row_of(work, key)
            facts = NoticeFacts(work.case(row.case_id).number, self.renderer.day(row.message_sent_at))
            message = self.renderer.render(facts, recipient=row.sender, ref=new_ref(), at=at)
            work.join_notice(key, work.enqueue(message, row.case_id, Party.SENDER, "notice", at, at))
        if sent:
            with self.store.sending() as sending:
                claimed = sending.claim("test", at)
                assert claimed is not None
                assert sending.sent(claimed, at)

    def note(self, number: str, **detail: str) -> None:
        with self.store.work() as work:
            case = Reading(work.flushed_connection()).case(number)
            assert case is not None
            work.note(case.id, NOW + 5, Actor.SENDER, EventKind.ANSWERED, **detail)

    def reading(self, number: str):
        """Return the case, its messages and its events."""
        with self.store.reading() as reading:
            case = reading.case(number)
            assert case is not None
            assert reading.broken_at(case) is None
            return case, reading.messages(case), reading.events(case), reading.reports(case)


def row_of(work: Work, key: str) -> ReportRow:
    reading = Reading(work.flushed_connection())
    return next(row for case in reading.list_cases(None, 99) for row in reading.reports(case) if row.key == key)


@pytest.fixture
def record(host) -> Record:
    return Record(host)


def test_no_case(host, record: Record) -> None:
    assert host.run("cases", "list").stdout == "There are no cases.\n"
    assert host.run("cases", "list", "--state", "staff").stdout == "There are no cases in state staff.\n"


def test_the_list_names_nobody_unless_asked(host, record: Record) -> None:
    number = record.report("r1:0", Reason.NOTICE_DUE)
    done = host.run("cases", "list")
    assert number in done.stdout
    assert MALLORY.address not in done.stdout
    assert host.keyring.log(MALLORY.address) in done.stdout
    assert MALLORY.address in host.run("cases", "list", "--addresses").stdout


def test_the_list_by_state_and_limit(host, record: Record) -> None:
    first = record.report("r1:0", Reason.URGENT)
    second = record.report("r2:0", Reason.NO_TRACE, NOW + 1, NOBODY)
    assert second in host.run("cases", "list", "--limit", "1").stdout
    assert first not in host.run("cases", "list", "--limit", "1").stdout
    assert len(host.run("cases", "list", "--state", "staff").stdout.splitlines()) == 3
    assert host.run("cases", "list", "--state", "nonsense").exit_code == 2


def test_a_record_that_is_not_there_yet(host) -> None:
    done = host.run("cases", "list")
    assert done.exit_code == 1
    assert "there is no such file yet" in done.stderr
    assert not (host.directory / "cases.db").exists()


@pytest.mark.parametrize("option", ["", "--addresses"])
def test_a_case_is_shown(host, record: Record, option: str, golden: Callable[[str, str], None]) -> None:
    number = record.report("r1:0", Reason.NOTICE_DUE)
    record.notice("r1:0", NOW + 900)
    record.note(number, answer="not-me", text="not me, ask vera@campus.example\n\x1b[2J", author=MALLORY.address)
    done = host.run("cases", "show", number.lower(), *([option] if option else []))
    assert done.exit_code == 0, done.output
    assert "\x1b" not in done.stdout
    assert option or (MALLORY.address not in done.stdout and VERA not in done.stdout and "not me" not in done.stdout)
    _, (notice,), _, _ = record.reading(number)
    golden(f"cases-show{option}", done.stdout.replace(number, "7KQ4-M2XD").replace(notice.ref, "a" * 16))


def test_messages_are_printed_as_they_are_read(host, record: Record) -> None:
    number = record.report("r1:0", Reason.NOTICE_DUE)
    record.notice("r1:0", NOW + 900)
    done = host.run("cases", "show", number, "--text")
    _, (notice,), _, _ = record.reading(number)
    assert f"Message {notice.ref}\nFrom: Example Campus Stopit <stopit@campus.example>\n" in done.stdout
    assert f"To: {MALLORY.address}\nSubject: " in done.stdout
    assert f"The number of this case is {number}" in done.stdout


def test_an_unknown_case(host, record: Record) -> None:
    done = host.run("cases", "show", "AAAA-AAAA")
    assert done.exit_code == 1
    assert "there is no case AAAA-AAAA" in done.stderr


def test_a_history_that_was_changed_is_named(host, record: Record) -> None:
    number = record.report("r1:0", Reason.NOTICE_DUE)
    with create_engine(host.settings.cases.url).begin() as connection:
        connection.execute(text('UPDATE events SET detail = \'{"reason":"urgent"}\' WHERE seq = 2'))
    done = host.run("cases", "show", number)
    assert done.exit_code == 1
    assert f"the history of {number} is not intact from entry 2 on" in done.stderr


def test_a_record_of_another_version(host, record: Record) -> None:
    with create_engine(host.settings.cases.url).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = 'nonsense'"))
    done = host.run("cases", "list")
    assert done.exit_code == 1
    assert "its tables are not those of this version" in done.stderr


def test_staff_send_the_first_notice(host, record: Record) -> None:
    number = record.report("r1:0", Reason.URGENT)
    done = host.run("cases", "notice", number, stdin="y\n")
    assert done.exit_code == 0, done.output
    assert MALLORY.address in done.stdout, "who is to get it must be plain before one says yes"
    case, (notice,), events, (row,) = record.reading(number)
    assert case.state is CaseState.NOTICE_PENDING
    assert (notice.kind, notice.recipient, notice.state) == (
        MessageKind.NOTICE,
        MALLORY.address,
        MessageState.PENDING,
    )
    assert row.notice_id == notice.id
    assert VERA.encode() not in notice.data
    noted = next(event for event in events if event.kind is EventKind.NOTE)
    assert noted.actor is Actor.STAFF
    assert noted.detail["by"]


def test_without_confirmation_nothing_is_sent(host, record: Record) -> None:
    number = record.report("r1:0", Reason.URGENT)
    assert host.run("cases", "notice", number, stdin="n\n").exit_code == 1
    assert record.reading(number)[1] == []


def test_staff_send_the_firmer_notice_for_mail_sent_after_the_first(host, record: Record) -> None:
    start = time.time() - 2 * DAY
    number = record.report("r1:0", Reason.NOTICE_DUE, start)
    record.notice("r1:0", start + 900)
    record.report("r2:0", Reason.AGAIN_AFTER_NOTICE, start + DAY)
    assert host.run("cases", "notice", number, "--firmer", "--yes").exit_code == 0
    case, messages, _, reports = record.reading(number)
    assert [message.kind for message in messages] == [MessageKind.NOTICE, MessageKind.FIRMER_NOTICE]
    assert case.state is CaseState.NOTICE_PENDING
    assert [row.notice_id for row in reports] == [message.id for message in messages]
    again = host.run("cases", "notice", number, "--firmer", "--yes")
    assert again.exit_code == 1
    assert "the sender's last one is pending" in again.stderr


class TestNoNoticeIsSent:
    """Nobody gets a notice for mail that they may not have sent, nor a second notice for the same mail."""

    def refused(self, host, record: Record, number: str, *options: str) -> str:
        before = record.reading(number)
        done = host.run("cases", "notice", number, "--yes", *options)
        assert done.exit_code == 1, done.output
        assert record.reading(number) == before, "nothing was written"
        return done.stderr

    def test_when_nobody_is_identified(self, host, record: Record) -> None:
        number = record.report("r1:0", Reason.NO_TRACE, sender=NOBODY)
        assert "the sender is unknown" in self.refused(host, record, number)

    def test_when_the_sender_is_not_known_surely(self, host, record: Record) -> None:
        number = record.report("r1:0", Reason.SENDER_NOT_SURE, sender=Person("olga@else.example", Assurance.WEAK))
        assert "the assurance of the sender is weak" in self.refused(host, record, number)

    def test_when_the_reporter_did_not_receive_the_message(self, host, record: Record) -> None:
        number = record.report("r1:0", Reason.NOT_A_RECIPIENT)
        assert "there is no valid report" in self.refused(host, record, number)

    def test_to_our_own_addresses(self, host, record: Record) -> None:
        sender = Person("stopit-staff@campus.example", Assurance.AUTHENTICATED)
        number = record.report("r1:0", Reason.SENDER_EXCLUDED, sender=sender)
        assert "an address of Stopit itself" in self.refused(host, record, number)

    def test_twice_for_one_report(self, host, record: Record) -> None:
        at = time.time() - DAY
        number = record.report("r1:0", Reason.NOTICE_DUE, at)
        record.notice("r1:0", at + 900)
        assert "the sender got one on" in self.refused(host, record, number)

    def test_while_the_first_one_waits(self, host, record: Record) -> None:
        number = record.report("r1:0", Reason.NOTICE_DUE)
        record.notice("r1:0", NOW + 900, sent=False)
        assert "last one is pending" in self.refused(host, record, number)

    def test_a_firmer_one_to_who_never_got_the_first(self, host, record: Record) -> None:
        number = record.report("r1:0", Reason.URGENT)
        assert "never got the first one" in self.refused(host, record, number, "--firmer")

    def test_a_firmer_one_for_mail_from_before_the_first(self, host, record: Record) -> None:
        number = record.report("r1:0", Reason.NOTICE_DUE)
        record.notice("r1:0", NOW + 900)
        record.report("r2:0", Reason.URGENT, NOW + 800)
        said = "no valid report is about mail sent after the last notice"
        assert said in self.refused(host, record, number, "--firmer")

    def test_in_observe_mode(self, host, record: Record) -> None:
        number = record.report("r1:0", Reason.URGENT)
        host.configure(milter={"mode": "observe"})
        assert 'milter.mode is "observe"' in self.refused(host, record, number)

    def test_when_every_report_was_called_off(self, host, record: Record) -> None:
        number = record.report("r1:0", Reason.URGENT)
        with record.store.work() as work:
            assert work.withdraw(row_of(work, "r1:0"), NOW + 1)
        assert "there is no valid report" in self.refused(host, record, number)


def test_a_note_stands_on_the_history(host, record: Record) -> None:
    number = record.report("r1:0", Reason.URGENT)
    assert host.run("cases", "note", number, "spoke to both").exit_code == 0
    *_, event = record.reading(number)[2]
    assert (event.actor, event.kind, event.detail["text"]) == (Actor.STAFF, EventKind.NOTE, "spoke to both")


def test_a_case_is_closed_once(host, record: Record) -> None:
    number = record.report("r1:0", Reason.URGENT)
    assert host.run("cases", "close", number).exit_code == 2, "why is asked for"
    assert host.run("cases", "close", number, "--note", "settled").exit_code == 0
    assert record.reading(number)[0].state is CaseState.CLOSED
    done = host.run("cases", "close", number, "--note", "settled")
    assert done.exit_code == 1
    assert "is already closed" in done.stderr


def test_closing_says_that_a_notice_still_leaves(host, record: Record) -> None:
    number = record.report("r1:0", Reason.NOTICE_DUE)
    record.notice("r1:0", NOW + 900, sent=False)
    done = host.run("cases", "close", number, "--note", "settled")
    assert "Its notice is still sent" in done.stdout
