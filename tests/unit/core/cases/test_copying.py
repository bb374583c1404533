"""Dump and load the case record between all pairs of databases, and handle a record that was restored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, text

from case_rows import report_row
from stopit_core.cases import (
    Actor,
    CaseState,
    CaseStore,
    EventKind,
    MessageRow,
    MessageState,
    Party,
)
from stopit_core.cases.restoring import Restoring
from stopit_core.cases.schema import metadata
from stopit_core.errors import DecodeError
from stopit_core.identity.people import Person
from stopit_core.model import Assurance, Digest
from stopit_core.outgoing.facts import MessageKind, Outgoing

NOW = 1_790_000_000.123456
MALLORY = Person("mallory@campus.example", Assurance.AUTHENTICATED)
VERA = "vera@campus.example"


@pytest.fixture
def store(cases_url: str) -> Iterator[CaseStore]:
    yield from opened(cases_url)


@pytest.fixture
def other(tmp_path: Path) -> Iterator[CaseStore]:
    yield from opened(f"sqlite:///{tmp_path}/other.db", migrate=False)


def opened(url: str, migrate: bool = True) -> Iterator[CaseStore]:
    store = CaseStore(url)
    if migrate:
        store.migrate()
    yield store
    store.close()


def fill_in(store: CaseStore, state: MessageState = MessageState.PENDING) -> MessageRow:
    """A case with a report, and the notice that it caused."""
    with store.work() as work:
        work.take("r1", NOW)
        work.lock(MALLORY.address)
        case, new = work.case_for(f"sender:{MALLORY.address}", MALLORY, NOW)
        row = report_row(case.id, "r1:0", NOW, original=Digest(bytes(range(240, 256))))
        work.add_report(row, new)
        data = b"Subject: \xc3\xa4\r\n\r\n\x00\xff"
        notice = Outgoing(
            MessageKind.NOTICE, "ref", "m@campus.example", "stopit@campus.example", MALLORY.address, data
        )
        work.join_notice("r1:0", work.enqueue(notice, case.id, Party.SENDER, "notice", NOW, NOW))
        work.watch(Digest(b"pairpair"), case.id, NOW, NOW + 1)
        work.note(case.id, NOW, Actor.STAFF, EventKind.NOTE, text='a "note", ä\n')
    if state is MessageState.SENDING:
        with store.sending() as sending:
            assert sending.claim("somebody", NOW)
    with store.work() as work:
        found = work.message_by_ref("ref")
        assert found is not None
        return found


def rows(store: CaseStore) -> dict[str, list[tuple[object, ...]]]:
    with store.reading() as reading:
        return {
            table.name: sorted((tuple(row) for row in reading.connection.execute(select(table))), key=repr)
            for table in metadata.sorted_tables
        }


def copied(store: CaseStore) -> list[bytes]:
    with store.copy() as lines:
        return list(lines)


def test_a_record_is_loaded_as_it_was_dumped(store: CaseStore, other: CaseStore) -> None:
    fill_in(store)

    counted = other.fill(copied(store))

    assert rows(other) == rows(store)
    assert counted["reports"] == counted["messages"] == 1
    with other.reading() as reading:
        (case,) = reading.list_cases(None, 9)
        assert reading.broken_at(case) is None


def test_new_ids_follow_the_loaded_ones(store: CaseStore, other: CaseStore) -> None:
    """New ids follow the loaded ones, whichever database a dump was loaded into."""
    other.migrate()
    fill_in(other)
    store.fill(copied(other))
    with store.work() as work:
        case, new = work.case_for("sender:eve", Person("eve@campus.example", Assurance.AUTHENTICATED), NOW)
        assert new
        work.note(case.id, NOW, Actor.STAFF, EventKind.NOTE, text="more")
    with store.reading() as reading:
        assert len(reading.list_cases(None, 9)) == 2
    assert not store.is_empty()


def test_a_writer_is_not_blocked_and_its_rows_are_not_in_the_dump(store: CaseStore) -> None:
    fill_in(store)
    with store.copy() as lines:
        first = next(lines)
        with store.work() as work:
            work.take("later", NOW)
        rest = list(lines)
    assert first
    assert not [line for line in rest if b'"later"' in line]


def test_an_older_record_is_brought_up_to_date(store: CaseStore, other: CaseStore) -> None:
    fill_in(store)
    lines = copied(store)
    lines[0] = json.dumps({"revision": "0001"}).encode()

    other.fill(line for line in lines if b'"table":"restores"' not in line)

    assert other.is_current()
    assert rows(other) == rows(store)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "first line"),
        ([b"no"], "first line"),
        ([b'{"revision":"9999"}'], "another version of Stopit \\(9999\\)"),
        ([b'{"revision":"0002"}', b"no"], "damaged"),
        ([b'{"revision":"0002"}', b'{"table":"other","values":{}}'], "no table other"),
        ([b'{"revision":"0002"}', b'{"table":"taken","values":{"report_id":"r"}}'], "row of taken"),
    ],
)
def test_a_dump_that_cannot_be_read_writes_nothing(other: CaseStore, lines: list[bytes], message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        other.fill(lines)
    assert other.is_empty()
    with other.reading() as reading:
        assert not reading.connection.execute(text("SELECT count(*) FROM sqlite_schema")).scalar()


@pytest.mark.parametrize("state", [MessageState.PENDING, MessageState.SENDING])
class TestNoticesThatWaited:
    def test_one_whose_trace_was_found_is_left_to_recovery(self, store: CaseStore, state: MessageState) -> None:
        notice = fill_in(store, state)
        with store.work() as work:
            restoring = Restoring(work)
            assert restoring.waiting_notices() == [notice]
            restoring.record_as_sending(notice, NOW - 9, NOW)
            found = work.message_by_ref("ref")
        assert found is not None
        assert (found.state, found.attempts, found.data_at, found.error) == (MessageState.SENDING, 1, NOW - 9, "")

    def test_one_that_is_cancelled_leaves_its_reports_to_staff(self, store: CaseStore, state: MessageState) -> None:
        notice = fill_in(store, state)
        with store.work() as work:
            Restoring(work).cancel(notice, "why", NOW)
        with store.sending() as sending:
            assert sending.claim("another", NOW + 9) is None
            assert not sending.claim_holds(notice)
        with store.reading() as reading:
            (case,) = reading.list_cases(CaseState.STAFF, 9)
            assert [row.notice_id for row in reading.reports(case)] == [None]
            assert reading.broken_at(case) is None
        with store.work() as work:
            assert work.current_notice(MALLORY.address, observed=False) is None


def test_record_has_the_time_of_its_restore(store: CaseStore) -> None:
    with store.work() as work:
        assert work.restored_at() == 0.0
    with store.work() as work:
        Restoring(work).mark(NOW - 99, NOW)
    with store.work() as work:
        assert work.restored_at() == NOW
