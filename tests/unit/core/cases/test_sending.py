"""The outbox's part of the record, on both databases: one claim at a time, facts are recorded, and nothing twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import update

from case_rows import report_row
from stopit_core.cases import (
    Actor,
    Case,
    CaseState,
    CaseStore,
    EventKind,
    MessageRow,
    MessageState,
    Party,
    ReportRow,
    Sending,
)
from stopit_core.cases.schema import reports
from stopit_core.errors import Transient
from stopit_core.identity.keys import new_ref
from stopit_core.identity.people import Person
from stopit_core.model import Assurance, Digest
from stopit_core.outgoing.facts import MessageKind, Outgoing

MALLORY = Person("mallory@campus.example", Assurance.AUTHENTICATED)
VERA, WALT = "vera@campus.example", "walt@campus.example"
NOW = 1_700_000_000.0
PAIR = Digest(b"a pair..")


@pytest.fixture
def store(cases_url: str) -> Iterator[CaseStore]:
    store = CaseStore(cases_url)
    store.migrate()
    yield store
    store.close()


def outgoing(kind: MessageKind = MessageKind.NOTICE, recipient: str = MALLORY.address) -> Outgoing:
    ref = new_ref()
    return Outgoing(kind, ref, f"stopit.{ref}@campus.example", f"stopit+{ref}@campus.example", recipient, b"words")


def report(case: Case, key: str, reporter: str, at: float = NOW) -> ReportRow:
    return report_row(case.id, key, at, reporter=reporter)


def queued(store: CaseStore, kind: MessageKind = MessageKind.NOTICE, due_at: float = NOW) -> Case:
    """A case with a report by vera, and a message of this kind that is due."""
    with store.work() as work:
        case, new = work.case_for(f"sender:{new_ref()}", MALLORY, NOW)
        key = f"{new_ref()}:0"
        work.add_report(report(case, key, VERA), new)
        party = Party.SENDER if kind.to_sender else Party.REPORTER
        message_id = work.enqueue(outgoing(kind), case.id, party, "it", due_at, NOW)
        if kind.to_sender:
            work.join_notice(key, message_id)
    return case


def claimed(store: CaseStore, claim_id: str = "one", now: float = NOW) -> MessageRow:
    with store.sending() as sending:
        message = sending.claim(claim_id, now)
    assert message is not None
    return message


def claimed_in(sending: Sending) -> MessageRow:
    message = sending.claim("one", NOW)
    assert message is not None
    return message


def now_of(store: CaseStore, case: Case) -> tuple[Case, MessageRow, list[EventKind]]:
    with store.reading() as reading:
        found = reading.case(case.number)
        assert found is not None
        assert reading.broken_at(found) is None
        (message,) = reading.messages(found)
        return found, message, [event.kind for event in reading.events(found)]


def test_nothing_is_claimed_before_it_is_due(store: CaseStore) -> None:
    queued(store, due_at=NOW + 1)

    with store.sending() as sending:
        assert sending.claim("one", NOW) is None
        assert sending.next_due() == NOW + 1
        assert sending.claim("one", NOW + 1) is not None
        assert sending.next_due() is None


def test_what_is_due_first_is_claimed_first(store: CaseStore) -> None:
    later = queued(store, due_at=NOW - 1)
    first = queued(store, due_at=NOW - 2)

    assert [claimed(store).case_id, claimed(store).case_id] == [first.id, later.id]


def test_claim_has_the_claim_id_the_time_and_the_number_of_the_attempt(store: CaseStore) -> None:
    queued(store)
    message = claimed(store, "one", NOW)
    with store.sending() as sending:
        assert sending.begin(message, NOW + 1)
        assert sending.put_back(message, "451 later", NOW + 30)

    again = claimed(store, "two", NOW + 31)

    assert (message.state, message.claimed_by, message.claimed_at, message.attempts, message.data_at) == (
        MessageState.SENDING,
        "one",
        NOW,
        1,
        None,
    )
    assert (again.claimed_by, again.attempts, again.data_at, again.error) == ("two", 2, None, "")


def test_two_who_claim_at_once_get_different_messages(store: CaseStore) -> None:
    for _ in range(10):
        queued(store)
    start = threading.Barrier(2)
    got: dict[str, list[int]] = {"one": [], "two": []}
    failures: list[Transient] = []

    def claim_all(claim_id: str) -> None:
        start.wait()
        try:
            for _ in range(5):
                got[claim_id].append(claimed(store, claim_id).id)
        except Transient as error:
            failures.append(error)

    threads = [threading.Thread(target=claim_all, args=(claim_id,)) for claim_id in got]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert len(set(got["one"] + got["two"])) == 10


@pytest.mark.parametrize("stolen_by", ["put back", "claimed again under the same id", "sent"])
def test_lost_claim_changes_nothing(store: CaseStore, stolen_by: str) -> None:
    case = queued(store)
    mine = claimed(store)
    with store.sending() as sending:
        if stolen_by == "sent":
            assert sending.sent(mine, NOW)
        else:
            assert sending.put_back(mine, "", NOW)
    if stolen_by.startswith("claimed"):
        claimed(store, mine.claimed_by)
    before = now_of(store, case)

    with store.sending() as sending:
        assert not sending.claim_holds(mine)
        assert not sending.begin(mine, NOW)
        assert not sending.unanswered(mine, "late")
        assert not sending.put_back(mine, "late", NOW)
        assert not sending.failed(mine, "late", NOW)
        assert not sending.unclear(mine, "late", NOW)

    assert now_of(store, case) == before


@pytest.mark.parametrize("meanwhile", ["mine", "put back", "another's", "unclear", "failed"])
def test_sent_is_recorded_also_without_the_claim(store: CaseStore, meanwhile: str) -> None:
    case = queued(store)
    mine = claimed(store)
    with store.sending() as sending:
        match meanwhile:
            case "put back" | "another's":
                sending.put_back(mine, "", NOW)
            case "unclear":
                sending.unclear(mine, "crash", NOW)
            case "failed":
                sending.failed(mine, "550", NOW)
    theirs = claimed(store, "two") if meanwhile == "another's" else None

    with store.sending() as sending:
        assert sending.sent(mine, NOW + 2)
        assert not sending.sent(mine, NOW + 3)
        assert theirs is None or not sending.begin(theirs, NOW + 4)

    _, message, events = now_of(store, case)
    assert (message.state, message.sent_at, message.error) == (MessageState.SENT, NOW + 2, "")
    assert events.count(EventKind.MESSAGE_SENT) == 1


def test_sent_notice_moves_its_case_on(store: CaseStore) -> None:
    case = queued(store)

    with store.sending() as sending:
        sending.sent(claimed_in(sending), NOW)

    assert now_of(store, case)[0].state is CaseState.NOTIFIED


@pytest.mark.parametrize("state", [CaseState.STAFF, CaseState.CLOSED])
def test_sent_notice_takes_no_case_from_staff(store: CaseStore, state: CaseState) -> None:
    case = queued(store)
    with store.work() as work:
        work.set_state(case.id, state, NOW)

    with store.sending() as sending:
        sending.sent(claimed_in(sending), NOW)

    assert now_of(store, case)[0].state is state


@pytest.mark.parametrize("end", [MessageState.FAILED, MessageState.UNCLEAR])
@pytest.mark.parametrize("kind", [MessageKind.NOTICE, MessageKind.ACKNOWLEDGEMENT])
def test_case_whose_notice_is_not_sent_goes_to_staff(store: CaseStore, end: MessageState, kind: MessageKind) -> None:
    case = queued(store, kind)
    mine = claimed(store)

    with store.sending() as sending:
        ended = sending.failed if end is MessageState.FAILED else sending.unclear
        assert ended(mine, "x" * 1000, NOW)

    after, message, _ = now_of(store, case)
    assert (message.state, len(message.error)) == (end, 500)
    assert after.state is (CaseState.STAFF if kind.to_sender else CaseState.NOTICE_PENDING)


def test_under_way_are_claimed_messages_without_a_result(store: CaseStore) -> None:
    for _ in range(4):
        queued(store)
    mine = claimed(store)
    sent, put_back = claimed(store), claimed(store)
    with store.sending() as sending:
        sending.begin(mine, NOW + 1)
        sending.unanswered(mine, "")
        sending.sent(sent, NOW)
        sending.put_back(put_back, "", NOW + 99)
        (attempt,) = sending.under_way()
        (found,) = sending.still_under_way({attempt, (sent.id, sent.attempts)})
        assert sending.still_under_way({(mine.id, mine.attempts + 1)}) == []

    assert attempt == (mine.id, mine.attempts)
    assert found == replace(mine, data_at=NOW + 1, error="no answer")


def test_last_sent_is_by_the_time_that_it_was_sent(store: CaseStore) -> None:
    with store.sending() as sending:
        assert sending.last_sent() is None
    for _ in range(2):
        queued(store)
    first, second = claimed(store), claimed(store)
    with store.sending() as sending:
        sending.sent(first, NOW + 5)
        sending.sent(second, NOW + 4)
        last = sending.last_sent()

    assert last is not None
    assert last.id == first.id


def test_reporters_are_all_who_ever_reported_in_the_case(store: CaseStore) -> None:
    case = queued(store)
    queued(store)
    with store.work() as work:
        second = report(case, "second:0", WALT, NOW + 1)
        work.add_report(second, False)
        work.withdraw(second, NOW + 2)
        work.add_report(report(case, "third:0", ""), False)

    with store.sending() as sending:
        assert sending.reporters(case.id) == {VERA, WALT}


def test_reports_on_a_notice_begin_with_the_one_that_led_to_it(store: CaseStore) -> None:
    case = queued(store)
    notice = claimed(store)
    with store.work() as work:
        work.add_report(report(case, "0:0", WALT, NOW + 1), False)
        work.join_notice("0:0", notice.id)

    with store.sending() as sending:
        assert [row.reporter for row in sending.reports_on(notice)] == [VERA, WALT]


def test_later_end_of_a_watch_holds_and_the_earlier_beginning(store: CaseStore) -> None:
    case = queued(store)
    with store.sending() as sending:
        sending.watch([PAIR], case.id, NOW, NOW + 100)
        sending.watch([PAIR], case.id, NOW + 10, NOW + 90)
        sending.watch([PAIR], case.id, NOW + 20, NOW + 110)

    with store.reading() as reading:
        (watch,) = reading.watches(NOW + 105)
        assert (watch.pair, watch.since, watch.until) == (PAIR, NOW, NOW + 110)
        assert reading.watches(NOW + 110) == []


def test_totals_count_what_is_due_until_it_is_sent(store: CaseStore) -> None:
    queued(store)
    queued(store, due_at=NOW + 50)

    def due() -> int:
        with store.reading() as reading:
            return reading.totals(NOW).outbox_due

    assert due() == 1
    mine = claimed(store)
    assert due() == 1
    with store.sending() as sending:
        sending.sent(mine, NOW)
    assert due() == 0
    with store.reading() as reading:
        assert reading.totals(NOW).senders_notified == 1


def test_totals_count_what_was_tried_and_waits_for_another_time(store: CaseStore) -> None:
    queued(store)
    queued(store, due_at=NOW + 50)  # never tried

    def put_off(now: float) -> int:
        with store.reading() as reading:
            return reading.totals(now).outbox_put_off

    mine = claimed(store)
    assert put_off(NOW) == 0
    with store.sending() as sending:
        sending.put_back(mine, "451 later", NOW + 30)
    assert put_off(NOW) == 1
    assert put_off(NOW + 30) == 0  # it is due
    claimed(store, now=NOW + 30)
    assert put_off(NOW + 30) == 0


def test_totals_tell_for_how_long_staff_let_a_case_wait(store: CaseStore) -> None:
    with store.reading() as reading:
        assert reading.totals(NOW).staff_waits == 0

    first, second = queued(store), queued(store)
    observed = queued(store)
    with store.work() as work:
        for case, at in ((first, NOW), (second, NOW + 100), (observed, NOW - 5000)):
            work.set_state(case.id, CaseState.STAFF, at)
        work.flushed_connection().execute(
            update(reports).where(reports.c.case_id == observed.id).values(observed=True)
        )

    def waits(now: float) -> float:
        with store.reading() as reading:
            return reading.totals(now).staff_waits

    assert waits(NOW + 1000) == 1000
    with store.work() as work:  # what others do to it is no answer of staff
        work.note(first.id, NOW + 300, Actor.REPORTER, EventKind.ANSWERED, text="Please help.")
    assert waits(NOW + 1000) == 1000
    with store.work() as work:
        work.note(first.id, NOW + 400, Actor.STAFF, EventKind.NOTE, text="Called back.")
    assert waits(NOW + 1000) == 900
    with store.work() as work:
        work.set_state(second.id, CaseState.CLOSED, NOW + 500, Actor.STAFF)
    assert waits(NOW + 1000) == 600
