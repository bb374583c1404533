"""The case record as intake uses it: each report once, withdrawals, and detection of tampering."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from case_rows import report_row
from stopit_core.cases import Case, CaseState, CaseStore, MessageState, Party, ReportRow, Work
from stopit_core.cases.reading import Reading
from stopit_core.cases.report_counts import count_reports
from stopit_core.decision.policy import Decision, Outcome, PriorNotice, Reason
from stopit_core.identity.keys import new_ref
from stopit_core.identity.people import Person
from stopit_core.model import Assurance, Digest
from stopit_core.outgoing.facts import MessageKind, Outgoing

MALLORY = Person("mallory@campus.example", Assurance.AUTHENTICATED)
VERA, WALT = "vera@campus.example", "walt@campus.example"
NOW = 1_700_000_000.0
DAY = 86400.0


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/cases.db"


@pytest.fixture
def store(url: str) -> Iterator[CaseStore]:
    store = CaseStore(url)
    store.migrate()
    yield store
    store.close()


def outgoing(kind: MessageKind = MessageKind.NOTICE, recipient: str = MALLORY.address) -> Outgoing:
    ref = new_ref()
    return Outgoing(kind, ref, f"stopit.{ref}@campus.example", f"stopit+{ref}@campus.example", recipient, b"words")


def row(case: Case, key: str, reason: Reason, reporter: str = VERA, at: float = NOW) -> ReportRow:
    return report_row(case.id, key, at, reason, reporter=reporter)


def noticed(work: Work, key: str = "r1:0", reporter: str = VERA) -> tuple[Case, int]:
    """A report by `reporter` with a pending notice."""
    case, new = work.case_for("sender:mallory", MALLORY, NOW)
    work.add_report(row(case, key, Reason.NOTICE_DUE, reporter), new)
    notice_id = work.enqueue(outgoing(), case.id, Party.SENDER, "notice", NOW + 900, NOW)
    work.join_notice(key, notice_id)
    return case, notice_id


def joined(work: Work, case: Case, notice_id: int, key: str, reporter: str) -> None:
    work.add_report(row(case, key, Reason.NOTICE_PENDING, reporter), False)
    work.join_notice(key, notice_id)


def state_of(store: CaseStore, case: Case) -> CaseState:
    with store.work() as work:
        return work.case(case.id).state


def notice_state(store: CaseStore, case: Case) -> MessageState:
    with store.reading() as reading:
        return next(each.state for each in reading.messages(case) if each.kind == MessageKind.NOTICE)


def test_a_report_is_taken_once(store: CaseStore) -> None:
    with store.work() as work:
        assert work.take("r1", NOW)
        assert not work.take("r1", NOW)
    with store.work() as work:
        assert not work.take("r1", NOW)


def test_what_fails_in_the_middle_leaves_nothing(store: CaseStore) -> None:
    def fail_after_the_writes() -> None:
        with store.work() as work:
            work.take("r1", NOW)
            noticed(work)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_after_the_writes()
    with store.work() as work:
        assert work.take("r1", NOW)
        assert work.current_notice(MALLORY.address, observed=False) is None
    with store.reading() as reading:
        assert reading.list_cases(None, 10) == []


def test_earlier_reports_and_the_notice_are_counted(store: CaseStore) -> None:
    with store.work() as work:
        noticed(work)
    with store.work() as work:
        counts = work.report_counts(VERA, MALLORY.address, NOW + 5, 30 * DAY, observed=False)
        assert (counts.reports_by_reporter, counts.reports_about_sender) == (1, 1)
        assert counts.notice == PriorNotice(NOW, None)
        assert not counts.sender_reported_reporter
        assert work.report_counts(MALLORY.address, VERA, NOW + 5, 30 * DAY, observed=False).sender_reported_reporter
        assert work.report_counts(VERA, MALLORY.address, NOW + 5, DAY, False, without="r1:0").reports_by_reporter == 0
        later = work.report_counts(VERA, MALLORY.address, NOW + DAY + 1, 30 * DAY, observed=False)
        assert (later.reports_by_reporter, later.reports_about_sender) == (0, 0)


@pytest.mark.parametrize("enough", [1, 2, 1000])
def test_counts_ahead_are_those_of_each_report_alone(store: CaseStore, enough: int) -> None:
    """Counting ahead gives the same counts, whatever was added before in this or another transaction."""
    with store.work() as work:
        case, _ = noticed(work)
        for number in range(3):
            work.add_report(row(case, f"old{number}:0", Reason.NOTICE_PENDING, WALT), False)
        work.add_report(row(case, "last-week:0", Reason.NOTICE_PENDING, WALT, NOW - 7 * DAY), False)
    eve = "eve@campus.example"
    pairs = [(VERA, MALLORY.address), (WALT, MALLORY.address), (MALLORY.address, VERA), (eve, WALT), ("", "")]
    with store.work() as work:
        work.look_ahead(pairs, NOW + 5, 30 * DAY, enough)
        for number, (reporter, sender) in enumerate(pairs * 3):
            ahead = work.report_counts(reporter, sender, NOW + 5, 30 * DAY, observed=False, enough=enough)
            alone = count_reports(work.flushed_connection(), reporter, sender, NOW + 5, 30 * DAY, "", enough)
            assert min(ahead.reports_by_reporter, enough) == alone[0]
            assert min(ahead.reports_about_sender, enough) == alone[1]
            assert ahead.sender_reported_reporter == alone[2]
            added = replace(row(case, f"new{number}:0", Reason.NOTICE_PENDING, reporter), sender=sender)
            work.add_report(added, False)


def test_buffered_rows_are_found_in_the_same_transaction(store: CaseStore) -> None:
    with store.work() as work:
        case, notice_id = noticed(work)
        joined(work, case, notice_id, "r2:0", WALT)
        work.acknowledge(outgoing(MessageKind.ACKNOWLEDGEMENT, VERA), case.id, "it", NOW, "r1", observed=False)
        assert work.was_written_since(case.id, MessageKind.ACKNOWLEDGEMENT, "it", VERA, NOW - 1)
        assert [each.notice_id for each in work.reports_of("r2", case.id)] == [notice_id]
        assert len(Reading(work.flushed_connection()).messages(case)) == 2


def test_reports_of_one_sender_share_a_case_until_it_is_closed(store: CaseStore) -> None:
    with store.work() as work:
        first, new = work.case_for("sender:mallory", MALLORY, NOW)
        again, again_new = work.case_for("sender:mallory", MALLORY, NOW)
        work.set_state(first.id, CaseState.CLOSED, NOW)
        other, other_new = work.case_for("sender:mallory", MALLORY, NOW)
    assert (new, again_new, other_new) == (True, False, True)
    assert first.number == again.number != other.number


def test_withdrawing_the_only_report_cancels_the_notice(store: CaseStore) -> None:
    with store.work() as work:
        case, _ = noticed(work)
    assert state_of(store, case) is CaseState.NOTICE_PENDING
    with store.work() as work:
        assert work.withdraw(work.reports_of("r1", case.id)[0], NOW + 1)
    assert notice_state(store, case) is MessageState.CANCELLED
    assert state_of(store, case) is CaseState.RECORDED
    with store.work() as work:
        assert work.report_counts(WALT, MALLORY.address, NOW + 2, 30 * DAY, observed=False).notice is None


def test_the_notice_stays_while_another_report_counts_on_it(store: CaseStore) -> None:
    with store.work() as work:
        case, notice_id = noticed(work)
        joined(work, case, notice_id, "r2:0", WALT)
    with store.work() as work:
        assert work.withdraw(work.reports_of("r1", case.id)[0], NOW + 1)
    assert notice_state(store, case) is MessageState.PENDING
    with store.work() as work:
        assert work.withdraw(work.reports_of("r2", case.id)[0], NOW + 2)
    assert notice_state(store, case) is MessageState.CANCELLED


def test_a_notice_that_is_being_sent_cannot_be_cancelled(store: CaseStore) -> None:
    with store.work() as work:
        case, _ = noticed(work)
    with store.sending() as sending:
        assert sending.claim("me", NOW + 901) is not None
    with store.work() as work:
        assert not work.withdraw(work.reports_of("r1", case.id)[0], NOW + 902)
    assert notice_state(store, case) is MessageState.SENDING


def test_staff_keep_a_case_that_is_theirs(store: CaseStore) -> None:
    with store.work() as work:
        case, new = work.case_for("sender:mallory", MALLORY, NOW)
        work.add_report(row(case, "r1:0", Reason.URGENT), new)
        work.add_report(row(case, "r2:0", Reason.NOTICE_DUE, WALT), False)
    assert state_of(store, case) is CaseState.STAFF


def test_a_rejected_report_leaves_nothing_open(store: CaseStore) -> None:
    with store.work() as work:
        case, new = work.case_for("report:r1", MALLORY, NOW)
        work.add_report(row(case, "r1:0", Reason.NO_ORIGINAL), new)
    assert state_of(store, case) is CaseState.CLOSED


def test_a_later_decision_stands_beside_the_first_one(store: CaseStore) -> None:
    with store.work() as work:
        case, new = work.case_for("sender:mallory", MALLORY, NOW)
        work.add_report(row(case, "r1:0", Reason.SINGLE_RECIPIENT_ASK), new)
    assert state_of(store, case) is CaseState.WAITING
    with store.work() as work:
        work.decide_again(work.reports_of("r1", case.id)[0], Decision(Reason.REPORTER_AGREED, NOW), NOW)
    assert state_of(store, case) is CaseState.NOTICE_PENDING
    with store.reading() as reading:
        assert reading.reports(case)[0].outcome is Outcome.NOTICE
        decided = [event.detail["reason"] for event in reading.events(case) if event.kind == "decided"]
    assert decided == ["single-recipient-ask", "reporter-agreed"]


def test_contacts_count_from_the_notice_to_the_end_of_the_watch(store: CaseStore) -> None:
    pair = Digest(b"p" * 8)
    with store.work() as work:
        case, _ = noticed(work)
        work.watch(pair, case.id, NOW, NOW + DAY)
        assert work.contact(pair, NOW, "early") is None
        assert work.contact(pair, NOW + DAY + 1, "late") is None
        assert work.contact(Digest(b"q" * 8), NOW + 1, "other") is None
        assert [work.contact(pair, NOW + at, "in time").contacts for at in (1, 2)] == [1, 2]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE events SET detail = '{}' WHERE seq = 2",
        "UPDATE events SET at = at - 60 WHERE seq = 3",
        "DELETE FROM events WHERE seq = 2",
        "UPDATE events SET actor = 'staff' WHERE seq = 1",
    ],
)
def test_a_changed_history_shows(store: CaseStore, url: str, change: str) -> None:
    with store.work() as work:
        case, _ = noticed(work)
    with store.reading() as reading:
        assert reading.broken_at(case) is None
    with create_engine(url).begin() as connection:
        connection.execute(text(change))
    with store.reading() as reading:
        assert reading.broken_at(case) in (1, 2, 3)
