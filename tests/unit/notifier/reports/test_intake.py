"""Intake with a real case record and real templates; ledger and queue are doubles."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
from msgspec import structs
from prometheus_client import CollectorRegistry

from stopit_core.cases import CaseState, CaseStore, EventKind, MessageRow, MessageState
from stopit_core.clock import Time
from stopit_core.config import parse
from stopit_core.daemon.logs import open_log
from stopit_core.daemon.systemd import Live
from stopit_core.decision.policy import pairs
from stopit_core.errors import Transient
from stopit_core.identity.keys import Keyring
from stopit_core.metrics import NotifierMetrics
from stopit_core.model import (
    AnswerReport,
    Assurance,
    Channel,
    Command,
    ContactReport,
    Digest,
    FlagReport,
    Original,
    Report,
    Trace,
)
from stopit_core.outgoing.facts import AnswerEffect, MessageKind
from stopit_core.stores.queue import Delivery
from stopit_core.wire import encode_report
from stopit_notifier.configuration import NotifierContext
from stopit_notifier.failpoints import no_failpoint
from stopit_notifier.reports.intake import ClaimedReport, Consumer, Intake
from stopit_notifier.smtp.client import SmtpMessage
from stopit_notifier.smtp.send_result import SENT, SendResult, SendStatus
from stopit_notifier.stores import Stores

KEYRING = Keyring(b"k" * 32)
NOW = 1_700_000_000.0
VERA, WALT, EVE, MALLORY = (f"{name}@campus.example" for name in ("vera", "walt", "eve", "mallory"))
CONFIG = """
[campus]
name = "Campus"
domains = ["campus.example"]
report_address = "stopit@campus.example"
staff_address = "staff@campus.example"
[policy]
single_recipient = "ask"
reporter_daily_cap = 3
"""


@dataclass
class Traces:
    """A ledger to read from."""

    known: dict[Digest, list[Trace]] = field(default_factory=dict)
    away: bool = False
    asked: int = 0

    def find(self, message: Digest) -> list[Trace]:
        self.asked += 1
        if self.away:
            raise Transient("ledger is away")
        return self.known.get(message, [])

    def add(
        self, message_id: str, login: str, *recipients: str, seen: float = NOW - 3600, **values: object
    ) -> Original:
        digest = KEYRING.message(message_id)
        joined = b"".join(KEYRING.address(each) for each in recipients)
        trace = Trace(digest, seen, login=login, recipients=joined, recipient_count=len(recipients), **values)  # type: ignore[arg-type]
        self.known.setdefault(digest, []).append(trace)
        return Original(digest)


@dataclass
class Reports:
    """A queue to claim from and to acknowledge to."""

    acked: list[str] = field(default_factory=list)
    buried: list[str] = field(default_factory=list)
    waiting: list[Delivery] = field(default_factory=list)

    def claim(self, consumer: str, limit: int, lease: float, wait: float, again: int) -> list[Delivery]:
        claimed, self.waiting = self.waiting[:limit], self.waiting[limit:]
        return claimed

    def ack_all(self, delivery_ids: Sequence[str]) -> None:
        self.acked += delivery_ids

    def bury(self, delivery_id: str, error: str) -> None:
        self.buried.append(delivery_id)


@cache
def _context(config: str) -> NotifierContext:
    """Compile and check the templates once for each configuration; nothing changes a context."""
    return NotifierContext.of_site(parse(config, "test.toml"), KEYRING)


class Site:
    """An intake with everything around it, and a clock to move."""

    def __init__(self, directory: Path, config: str = CONFIG) -> None:
        self.now = NOW
        self.store = CaseStore(f"sqlite:///{directory}/cases.db")
        self.store.migrate()
        self.ledger, self.queue = Traces(), Reports()
        self.metrics = NotifierMetrics(CollectorRegistry(), pairs(), list(MessageKind), list(CaseState))
        self.intake = Intake(
            Stores(self.store, self.queue, self.ledger, queue_faults=tuple),  # type: ignore[arg-type]
            Consumer("me", lambda: 60.0),
            Live(_context(config)),
            self.metrics,
            open_log("test", io.StringIO()),
            Time(clock=lambda: self.now, sleep=self.sleep, draw=lambda: 0.5),
            failpoint=no_failpoint,
            send_unrecorded=self.send_unrecorded,
        )
        self._count = 0
        self.unrecorded: list[SmtpMessage] = []
        self.send_result = SENT
        self.while_waiting: list[Callable[[], object]] = []

    def send_unrecorded(self, message: SmtpMessage) -> SendResult:
        self.unrecorded.append(message)
        return self.send_result

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.while_waiting:
            self.while_waiting.pop(0)()

    def take(self, report: Report) -> None:
        self.intake.handle([ClaimedReport.read(Delivery(report.id, encode_report(report), 1, self.now))])

    def flag(
        self,
        reporter: str,
        *originals: Original,
        command: Command = Command.FLAG,
        assurance: Assurance = Assurance.AUTHENTICATED,
        at: float | None = None,
        channel: Channel = Channel.REPLY,
        **values: object,
    ) -> FlagReport:
        self._count += 1
        report = FlagReport(
            f"f{self._count}",
            self.now if at is None else at,
            f"Q{self._count}",
            channel,
            command,
            reporter,
            assurance,
            originals,
            **values,  # type: ignore[arg-type]
        )
        self.take(report)
        return report

    def answer(self, message: MessageRow, text: str, author: str = "", null_sender: bool = False) -> AnswerReport:
        self._count += 1
        raw = f"From: <{message.recipient}>\r\nSubject: Re\r\nContent-Type: text/plain\r\n\r\n{text}\r\n".encode()
        report = AnswerReport(f"a{self._count}", self.now, "QA", message.ref, author, null_sender, raw)
        self.take(report)
        return report

    def messages(self, kind: MessageKind | None = None, to: str = "") -> list[MessageRow]:
        with self.store.reading() as reading:
            found = [each for case in reading.list_cases(None, 100) for each in reading.messages(case)]
        chosen = [each for each in found if kind in (None, each.kind) and to in ("", each.recipient)]
        return sorted(chosen, key=lambda each: each.id)

    def abouts(self, to: str) -> list[str]:
        return [each.about for each in self.messages(to=to)]

    def events(self) -> list[EventKind]:
        with self.store.reading() as reading:
            return [event.kind for case in reading.list_cases(None, 100) for event in reading.events(case)]

    def states(self) -> list[CaseState]:
        with self.store.reading() as reading:
            return [case.state for case in reading.list_cases(None, 100)]

    def send(self) -> MessageRow:
        """Mark the message that is due first as sent, as the outbox does."""
        with self.store.sending() as sending:
            message = sending.claim("outbox", self.now)
            assert message is not None
            assert sending.sent(message, self.now)
        return message


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def kinds(messages: Sequence[MessageRow]) -> list[str]:
    return [each.kind for each in messages]


def test_a_flag_leads_to_an_acknowledgement_at_once_and_a_notice_in_its_time(site: Site) -> None:
    site.flag(VERA, site.ledger.add("one@x", "mallory", VERA, WALT))
    (notice,) = site.messages(MessageKind.NOTICE)
    assert (notice.recipient, notice.state, notice.due_at) == (MALLORY, MessageState.PENDING, NOW + 37.5 * 60)
    (ack,) = site.messages(MessageKind.ACKNOWLEDGEMENT)
    assert (ack.recipient, ack.about, ack.due_at) == (VERA, "notice-due", NOW)
    assert site.messages(MessageKind.STAFF_ALERT) == []
    assert site.states() == [CaseState.NOTICE_PENDING]
    assert site.queue.acked == ["f1"]


def test_a_redelivered_report_changes_nothing(site: Site) -> None:
    report = site.flag(VERA, site.ledger.add("one@x", "mallory", VERA, WALT))
    before = site.messages(), site.events()
    site.take(report)
    assert (site.messages(), site.events()) == before
    assert site.queue.acked == ["f1", "f1"]


def test_an_unreadable_report_is_set_aside(site: Site) -> None:
    site.intake.handle([ClaimedReport.read(Delivery("7", b"\xffnonsense", 1, NOW))])
    assert site.queue.buried == ["7"]
    assert site.queue.acked == []


def test_a_report_is_left_while_the_ledger_is_away(site: Site) -> None:
    original = site.ledger.add("one@x", "mallory", VERA, WALT)
    site.ledger.away = True
    with pytest.raises(Transient):
        site.flag(VERA, original)
    assert site.queue.acked == []
    assert site.messages() == []


def test_a_trace_that_is_still_on_its_way_is_waited_for(site: Site) -> None:
    late = lambda: site.ledger.add("one@x", "mallory", VERA, WALT)  # noqa: E731
    site.while_waiting = [lambda: None, lambda: None, late]
    site.flag(VERA, Original(KEYRING.message("one@x")))
    assert site.abouts(VERA) == ["notice-due"]
    assert site.now - NOW == pytest.approx(0.6)


def test_no_trace_is_not_waited_for_long_and_not_for_an_old_report(site: Site) -> None:
    unknown = Original(KEYRING.message("one@x"))
    site.flag(VERA, unknown)
    assert site.now - NOW == pytest.approx(2.0)
    report = FlagReport(
        "old", site.now - 60, "Q", Channel.REPLY, Command.FLAG, VERA, Assurance.AUTHENTICATED, (unknown,)
    )
    before = site.now
    site.take(report)
    assert site.now == before


def test_many_reporters_make_one_notice_and_an_acknowledgement_each(site: Site) -> None:
    members = [f"m{number}@campus.example" for number in range(12)]
    original = site.ledger.add("one@x", "mallory", *members)
    for member in members:
        site.flag(member, original)
    site.flag(members[0], original)
    assert len(site.messages(MessageKind.NOTICE)) == 1
    assert [site.abouts(member) for member in members[1:]] == [["notice-pending"]] * 11
    assert len(site.states()) == 1


def test_each_attached_original_is_decided_by_itself(site: Site) -> None:
    first = site.ledger.add("one@x", "mallory", VERA, WALT)
    second = site.ledger.add("two@x", "bob", VERA, WALT)
    site.flag(VERA, first, second, Original(KEYRING.message("unknown@x")))
    assert {notice.recipient for notice in site.messages(MessageKind.NOTICE)} == {MALLORY, "bob@campus.example"}
    assert site.abouts(VERA) == ["notice-due", "notice-due", "no-trace"]
    assert len(site.states()) == 3


def test_who_did_not_receive_it_adds_nothing_to_the_senders_case(site: Site) -> None:
    original = site.ledger.add("one@x", "mallory", VERA, WALT)
    site.flag(EVE, original)
    assert site.messages(MessageKind.NOTICE) == []
    assert site.abouts(EVE) == ["not-a-recipient"]
    assert len(site.messages(MessageKind.STAFF_ALERT)) == 1
    site.flag(VERA, original)
    assert len(site.states()) == 2


def test_nothing_is_written_to_a_reporter_who_may_be_somebody_else(site: Site) -> None:
    site.flag(VERA, site.ledger.add("one@x", "mallory", VERA, WALT), assurance=Assurance.UNVERIFIED)
    assert kinds(site.messages()) == ["staff-alert"]
    assert site.states() == [CaseState.STAFF]


def test_a_report_that_names_nothing_is_answered_with_help_and_closed(site: Site) -> None:
    site.flag(VERA)
    assert site.abouts(VERA) == ["no-original"]
    assert site.states() == [CaseState.CLOSED]


@pytest.mark.parametrize("assurance", list(Assurance))
def test_urgent_without_an_original_is_an_open_case_for_staff(site: Site, assurance: Assurance) -> None:
    site.flag(VERA, command=Command.URGENT, channel=Channel.HEADER, assurance=assurance)

    assert site.states() == [CaseState.STAFF]
    (alert,) = site.messages(MessageKind.STAFF_ALERT)
    assert b"Subject: Stopit: URGENT" in alert.data
    assert b"names no message that could be read" in alert.data
    assert b"Sender:" not in alert.data
    acks = site.messages(MessageKind.ACKNOWLEDGEMENT)
    assert [b"We cannot tell which message you mean" in ack.data for ack in acks] == (
        [True] if assurance >= Assurance.VERIFIED else []
    )
    assert all(ack.recipient == VERA and ack.about == "urgent" for ack in acks)


def test_each_urgent_report_alerts_staff_every_time(site: Site) -> None:
    original = site.ledger.add("one@x", "mallory", VERA, WALT)
    for reporter in (VERA, WALT, VERA):
        site.flag(reporter, original, command=Command.URGENT)

    alerts = site.messages(MessageKind.STAFF_ALERT)
    assert [alert.about for alert in alerts] == ["review:urgent"] * 3
    assert [reporter.encode() in alert.data for alert, reporter in zip(alerts, (VERA, WALT, VERA), strict=True)] == [
        True
    ] * 3
    assert site.states() == [CaseState.STAFF]


def test_an_urgent_report_of_many_messages_of_one_sender_is_one_alert(site: Site) -> None:
    originals = [site.ledger.add(f"{number}@x", "mallory", VERA, WALT) for number in range(5)]
    site.flag(VERA, *originals, command=Command.URGENT)

    assert site.abouts("staff@campus.example") == ["review:urgent"]
    assert site.abouts(VERA) == ["urgent"]


def test_urgent_past_the_cap_alerts_and_is_answered(site: Site) -> None:
    for number in range(6):
        original = site.ledger.add(f"{number}@x", "mallory", VERA, WALT)
        site.flag(VERA, original, command=Command.URGENT)

    assert site.abouts(VERA) == ["urgent"] * 6
    assert site.abouts("staff@campus.example") == ["review:urgent"] * 6


def test_urgent_about_a_message_that_never_reached_the_reporter_leads_to_no_notice(site: Site) -> None:
    """`stopitctl cases notice` sends for reports that have the case's sender alone."""
    site.flag(EVE, site.ledger.add("one@x", "mallory", VERA, WALT), command=Command.URGENT)

    (alert,) = site.messages(MessageKind.STAFF_ALERT)
    assert MALLORY.encode() in alert.data
    assert b"no trace shows that the reporter received the message" in b" ".join(alert.data.split())
    with site.store.reading() as reading:
        ((case, (row,)),) = [(case, reading.reports(case)) for case in reading.list_cases(None, 100)]
    assert (case.state, case.sender, row.sender) == (CaseState.STAFF, MALLORY, "")


def test_urgent_of_ones_own_message_is_no_part_of_a_case_about_oneself(site: Site) -> None:
    own = site.ledger.add("own@x", "vera", VERA, WALT)
    site.flag(WALT, own)
    site.flag(VERA, own, command=Command.URGENT)

    assert sorted(site.states()) == sorted([CaseState.NOTICE_PENDING, CaseState.STAFF])
    (alert,) = site.messages(MessageKind.STAFF_ALERT)
    assert b"a message of their own account" in alert.data


def test_staff_are_told_once_a_day_of_the_same_thing(site: Site) -> None:
    original = site.ledger.add("one@x", "mallory", VERA, WALT)
    site.flag(EVE, original)
    site.flag("eva@campus.example", original)
    assert len(site.messages(MessageKind.STAFF_ALERT)) == 1


def test_past_the_cap_staff_look_and_the_reporter_is_told_once(site: Site) -> None:
    for number in range(6):
        site.flag(VERA, site.ledger.add(f"{number}@x", "mallory", VERA, WALT))
    assert site.abouts(VERA) == ["notice-due", "notice-pending", "notice-pending", "reporter-cap"]


def test_mail_sent_after_the_notice_goes_to_staff(site: Site) -> None:
    site.flag(VERA, site.ledger.add("one@x", "mallory", VERA, WALT))
    site.now = NOW + 3600
    assert [site.send().kind, site.send().kind] == ["acknowledgement", "notice"]
    assert site.states() == [CaseState.NOTIFIED]
    site.now = NOW + 7200
    site.flag(WALT, site.ledger.add("two@x", "mallory", VERA, WALT, seen=NOW + 5000))
    assert site.abouts(WALT) == ["again-after-notice"]
    assert site.states() == [CaseState.STAFF]
    assert len(site.messages(MessageKind.NOTICE)) == 1


def test_joining_a_notice_that_was_sent_watches_the_pair(site: Site) -> None:
    original = site.ledger.add("one@x", "mallory", VERA, WALT)
    site.flag(VERA, original)
    site.now = NOW + 3600
    site.send(), site.send()
    site.now = NOW + 3700
    site.flag(WALT, original)
    assert site.abouts(WALT) == ["notice-sent"]
    pair = KEYRING.pair(KEYRING.address(MALLORY), KEYRING.address(WALT))
    with site.store.reading() as reading:
        assert pair in {watch.pair for watch in reading.watches(site.now)}
    site.take(ContactReport("c1", NOW + 3800, "QC", pair))
    site.take(ContactReport("c1", NOW + 3800, "QC", pair))
    assert site.events().count(EventKind.CONTACT) == 1
    assert site.metrics.registry.get_sample_value("stopit_contacts_after_notice_total") == 1


def test_observed_reports_send_nothing(site: Site) -> None:
    original = site.ledger.add("one@x", "mallory", VERA, WALT)
    site.flag(VERA, original, observed=True)
    assert {message.state for message in site.messages()} == {MessageState.OBSERVED}
    site.flag(WALT, original)
    assert [each.state for each in site.messages(MessageKind.NOTICE)] == [MessageState.OBSERVED, MessageState.PENDING]


# -- several at once


def batches(site: Site, *reports: Report, attempts: int = 1) -> list[list[ClaimedReport]]:
    """Claim these reports, and return the batches in which they are to be handled."""
    site.queue.waiting = [Delivery(report.id, encode_report(report), attempts, NOW) for report in reports]
    return site.intake.claim(256, 0.0)


def ids(claimed: Sequence[Sequence[ClaimedReport]]) -> list[list[str]]:
    return [[each.delivery.id for each in batch] for batch in claimed]


def together(site: Site, *reports: Report) -> None:
    """Handle these reports, which make one batch."""
    (batch,) = batches(site, *reports)
    site.intake.handle(batch)


def flag_by(reporter: str, original: Original, name: str = "") -> FlagReport:
    return FlagReport(
        name or reporter, NOW, "Q1", Channel.REPLY, Command.FLAG, reporter, Assurance.AUTHENTICATED, (original,)
    )


def test_flags_that_are_decided_together_see_each_other(site: Site) -> None:
    original = site.ledger.add("one@x", "mallory", VERA, WALT, EVE)
    contact = ContactReport("c1", NOW, "QC", Digest(b"p" * 8))
    again = flag_by(VERA, original)

    flags, alone = batches(
        site, flag_by(VERA, original), contact, flag_by(WALT, original), again, flag_by(EVE, original)
    )
    site.intake.handle(flags)

    assert ids([flags, alone]) == [[VERA, WALT, VERA, EVE], ["c1"]]
    assert len(site.messages(MessageKind.NOTICE)) == 1
    assert [site.abouts(each) for each in (VERA, WALT, EVE)] == [
        ["notice-due"],
        ["notice-pending"],
        ["notice-pending"],
    ]
    assert site.queue.acked == [VERA, WALT, VERA, EVE]
    with site.store.reading() as reading:
        (case,) = reading.list_cases(None, 9)
        assert reading.broken_at(case) is None
        (notice,) = (each for each in reading.messages(case) if each.kind == MessageKind.NOTICE)
        assert [row.notice_id for row in reading.reports(case)] == [notice.id] * 3


def test_of_one_report_that_came_twice_the_first_counts(site: Site) -> None:
    """A client's retry has the same id. Taken one by one, the first is decided, and so it is in a batch."""
    first = flag_by(VERA, site.ledger.add("one@x", "mallory", VERA, WALT))
    retry = structs.replace(first, at=NOW + 60, queue_id="Q2")

    together(site, first, retry)

    with site.store.reading() as reading:
        (case,) = reading.list_cases(None, 9)
        assert [(row.at, row.queue_id) for row in reading.reports(case)] == [(NOW, "Q1")]


def test_ledger_is_asked_once_in_a_batch_for_a_message_that_many_flag(site: Site) -> None:
    members = [f"member{number}@campus.example" for number in range(20)]
    original = site.ledger.add("one@x", "mallory", *members)

    together(site, *(flag_by(member, original) for member in members))

    assert site.ledger.asked == 1


def test_caps_hold_within_a_batch(site: Site) -> None:
    originals = [site.ledger.add(f"{number}@x", "mallory", VERA, WALT) for number in range(5)]

    together(site, *(flag_by(VERA, each, f"f{number}") for number, each in enumerate(originals)))

    assert site.abouts(VERA) == ["notice-due", "notice-pending", "notice-pending", "reporter-cap"]


def test_batch_in_which_one_fails_leaves_nothing_and_each_can_be_taken_alone(site: Site) -> None:
    good, bad = (flag_by(each, site.ledger.add(f"{each}@x", "mallory", VERA, WALT)) for each in (VERA, WALT))
    site.ledger.known[bad.originals[0].message] = [None]  # type: ignore[list-item]

    (batch,) = batches(site, good, bad)
    with pytest.raises(AttributeError):
        site.intake.handle(batch)
    assert (site.messages(), site.queue.acked) == ([], [])

    site.intake.handle(batch[:1])
    assert (len(site.messages(MessageKind.NOTICE)), site.queue.acked) == (1, [VERA])


def test_batch_that_was_handled_before_leads_to_nothing_more(site: Site) -> None:
    original = site.ledger.add("one@x", "mallory", VERA, WALT)
    flags = [flag_by(VERA, original), flag_by(WALT, original)]
    together(site, *flags)
    before = len(site.messages())

    together(site, *flags)

    assert len(site.messages()) == before
    assert site.queue.acked == [VERA, WALT] * 2


def test_flags_that_come_again_are_taken_alone(site: Site) -> None:
    original = site.ledger.add("one@x", "mallory", VERA, WALT)

    claimed = batches(site, flag_by(VERA, original), flag_by(WALT, original), attempts=2)

    assert ids(claimed) == [[VERA], [WALT]]


def test_report_that_comes_again_is_the_last(site: Site) -> None:
    again = Delivery("again", encode_report(flag_by(VERA, Original(Digest(b"m")))), 2, NOW)
    contact = Delivery("contact", encode_report(ContactReport("c1", NOW, "QC", Digest(b"p" * 8))), 1, NOW)
    site.queue.waiting = [again, contact]

    assert ids(site.intake.claim(256, 0.0)) == [["contact"], ["again"]]


def test_unreadable_report_is_a_batch_of_its_own_and_is_buried(site: Site) -> None:
    flag = Delivery("flag", encode_report(flag_by(VERA, Original(Digest(b"m")))), 1, NOW)
    site.queue.waiting = [Delivery("broken", b"\xff", 1, NOW), flag]

    for batch in site.intake.claim(256, 0.0):
        site.intake.handle(batch)

    assert (site.queue.buried, site.queue.acked) == (["broken"], ["flag"])


# -- answers


def test_cancel_in_time(site: Site) -> None:
    site.flag(VERA, site.ledger.add("one@x", "mallory", VERA, WALT))
    site.answer(site.messages(to=VERA)[0], "Cancel\r\n\r\n> quoted")
    assert site.messages(MessageKind.NOTICE)[0].state is MessageState.CANCELLED
    assert site.abouts(VERA) == ["notice-due", AnswerEffect.CANCELLED.value]
    site.answer(site.messages(to=VERA)[0], "cancel")
    assert site.abouts(VERA)[-1] == AnswerEffect.NOTHING_TO_CANCEL.value


def test_a_redelivered_answer_changes_nothing(site: Site) -> None:
    site.flag(VERA, site.ledger.add("one@x", "mallory", VERA, WALT))
    report = site.answer(site.messages(to=VERA)[0], "cancel")
    before = site.messages(), site.events()
    site.take(report)
    assert (site.messages(), site.events()) == before
    assert site.queue.acked.count(report.id) == 2


def test_cancel_too_late(site: Site) -> None:
    site.flag(VERA, site.ledger.add("one@x", "mallory", VERA, WALT))
    site.now = NOW + 3600
    site.send(), site.send()
    site.answer(site.messages(to=VERA)[0], "cancel", author=VERA)
    assert site.abouts(VERA)[-1] == AnswerEffect.CANCEL_TOO_LATE.value
    assert site.messages(MessageKind.NOTICE)[0].state is MessageState.SENT


def test_a_word_from_another_account_changes_nothing(site: Site) -> None:
    site.flag(VERA, site.ledger.add("one@x", "mallory", VERA, WALT))
    site.answer(site.messages(to=VERA)[0], "cancel", author=EVE)
    assert site.messages(MessageKind.NOTICE)[0].state is MessageState.PENDING
    assert site.abouts(VERA) == ["notice-due"]
    assert len(site.messages(MessageKind.STAFF_ALERT)) == 1


def test_yes_where_it_was_asked(site: Site) -> None:
    site.flag(VERA, site.ledger.add("one@x", "mallory", VERA))
    assert site.abouts(VERA) == ["single-recipient-ask"]
    assert site.messages(MessageKind.NOTICE) == []
    assert site.states() == [CaseState.WAITING]
    site.answer(site.messages(to=VERA)[0], "yes", author=VERA)
    assert len(site.messages(MessageKind.NOTICE)) == 1
    assert site.abouts(VERA)[-1] == "reporter-agreed"
    site.answer(site.messages(to=VERA)[0], "yes", author=VERA)
    assert site.abouts(VERA)[-1] == AnswerEffect.NOTHING_TO_CONFIRM.value
    assert len(site.messages(MessageKind.NOTICE)) == 1


def test_details_reach_staff_and_the_case(site: Site) -> None:
    site.flag(VERA, site.ledger.add("one@x", "mallory", VERA, WALT))
    site.answer(site.messages(to=VERA)[0], "He also waits at the bus stop.")
    (alert,) = site.messages(MessageKind.STAFF_ALERT)
    assert b"bus stop" in alert.data
    assert site.abouts(VERA)[-1] == AnswerEffect.DETAILS_KEPT.value


def test_whatever_a_reporter_adds_reaches_staff_every_time(site: Site) -> None:
    site.flag(VERA, site.ledger.add("one@x", "mallory", VERA, WALT))
    acknowledgement = site.messages(to=VERA)[0]
    for details in ("He waits at the bus stop.", "He is here now."):
        site.answer(acknowledgement, details)

    first, second = site.messages(MessageKind.STAFF_ALERT)
    assert b"bus stop" in first.data
    assert b"here now" in second.data
    assert site.abouts(VERA).count(AnswerEffect.DETAILS_KEPT.value) == 1


@pytest.mark.parametrize("words", ["Please cancel the notice, thanks", "cancle", "no", "bitte nicht senden"])
def test_a_cancel_in_other_words_calls_off_and_reaches_staff(site: Site, words: str) -> None:
    site.flag(VERA, site.ledger.add("one@x", "mallory", VERA, WALT))
    site.answer(site.messages(to=VERA)[0], words, author=VERA)
    assert site.messages(MessageKind.NOTICE)[0].state is MessageState.CANCELLED
    assert site.abouts(VERA)[-1] == AnswerEffect.CANCELLED.value
    (alert,) = site.messages(MessageKind.STAFF_ALERT)
    assert words.encode() in alert.data


def test_what_stands_below_a_cancel_reaches_staff(site: Site) -> None:
    site.flag(VERA, site.ledger.add("one@x", "mallory", VERA, WALT))
    site.answer(site.messages(to=VERA)[0], "cancel\r\n\r\nHe stands at my door.")
    assert site.messages(MessageKind.NOTICE)[0].state is MessageState.CANCELLED
    (alert,) = site.messages(MessageKind.STAFF_ALERT)
    assert b"at my door" in alert.data


def test_an_unclear_answer_is_told_that_the_notice_still_leaves(site: Site) -> None:
    site.flag(VERA, site.ledger.add("one@x", "mallory", VERA, WALT))
    site.answer(site.messages(to=VERA)[0], "I can't cancel my meeting.")
    ack = site.messages(to=VERA)[-1]
    assert ack.about == AnswerEffect.DETAILS_KEPT.value
    assert b"The notice still leaves" in ack.data
    assert b"\r\n\r\ncancel\r\n" in ack.data
    assert site.messages(MessageKind.NOTICE)[0].state is MessageState.PENDING


def test_details_after_the_notice_left_do_not_speak_of_it(site: Site) -> None:
    site.flag(VERA, site.ledger.add("one@x", "mallory", VERA, WALT))
    site.now = NOW + 3600
    site.send(), site.send()
    site.answer(site.messages(to=VERA)[0], "He also waits at the bus stop.")
    assert b"still leaves" not in site.messages(to=VERA)[-1].data


def test_a_cancelled_notice_can_still_be_had(site: Site) -> None:
    original = site.ledger.add("one@x", "mallory", VERA, WALT)
    site.flag(VERA, original)
    site.answer(site.messages(to=VERA)[0], "cancel", author=VERA)
    ack = site.messages(to=VERA)[-1]
    assert b"You can flag the" in ack.data
    site.answer(ack, "Yes, send it", author=VERA)
    (alert,) = site.messages(MessageKind.STAFF_ALERT)
    assert b"Yes, send it" in alert.data
    assert site.abouts(VERA)[-1] == AnswerEffect.DETAILS_KEPT.value
    site.flag(VERA, original)
    assert site.abouts(VERA)[-1] == "notice-due"
    assert [notice.state for notice in site.messages(MessageKind.NOTICE)] == [
        MessageState.CANCELLED,
        MessageState.PENDING,
    ]


def test_a_no_to_the_question_calls_off_and_a_doubtful_yes_sends_nothing(site: Site) -> None:
    site.flag(VERA, site.ledger.add("one@x", "mallory", VERA))
    site.answer(site.messages(to=VERA)[0], "Yes, but not now", author=VERA)
    assert site.abouts(VERA)[-1] == AnswerEffect.DETAILS_KEPT.value
    site.answer(site.messages(to=VERA)[0], "No, thank you", author=VERA)
    assert site.abouts(VERA)[-1] == AnswerEffect.CANCELLED.value
    assert site.messages(MessageKind.NOTICE) == []


def test_a_yes_with_courtesy_sends_the_notice_and_reaches_staff(site: Site) -> None:
    site.flag(VERA, site.ledger.add("one@x", "mallory", VERA))
    site.answer(site.messages(to=VERA)[0], "Yes please, send it", author=VERA)
    assert len(site.messages(MessageKind.NOTICE)) == 1
    assert len(site.messages(MessageKind.STAFF_ALERT)) == 1


@pytest.mark.parametrize(
    "words", ["I didn't send this.", "My account was hacked, please cancel it", "Das war ich nicht"]
)
def test_a_sender_says_in_other_words_that_it_was_somebody_else(site: Site, words: str) -> None:
    site.flag(VERA, site.ledger.add("one@x", "mallory", VERA, WALT))
    site.now = NOW + 3600
    site.send(), site.send()
    site.answer(site.messages(MessageKind.NOTICE)[0], words)
    (alert,) = site.messages(MessageKind.STAFF_ALERT)
    assert alert.about == "sender-not-me:notice"


def test_the_sender_says_that_it_was_somebody_else(site: Site) -> None:
    site.flag(VERA, site.ledger.add("one@x", "mallory", VERA, WALT))
    site.now = NOW + 3600
    site.send(), site.send()
    notice = site.messages(MessageKind.NOTICE)[0]
    site.answer(notice, "Not me! My password was stolen.")
    assert site.states() == [CaseState.STAFF]
    (alert,) = site.messages(MessageKind.STAFF_ALERT)
    assert b"password was stolen" in alert.data
    assert site.messages(to=MALLORY) == [notice]


def test_a_bounce_is_on_the_case_and_never_answered(site: Site) -> None:
    site.flag(VERA, site.ledger.add("one@x", "mallory", VERA, WALT))
    site.now = NOW + 3600
    site.send(), site.send()
    notice = site.messages(MessageKind.NOTICE)[0]
    raw = (
        "From: MAILER-DAEMON@campus.example\r\nSubject: Undelivered Mail Returned to Sender\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\nMIME-Version: 1.0\r\n\r\n'
        "--b\r\nContent-Type: text/plain\r\n\r\nI'm sorry.\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.campus.example\r\n\r\n"
        f"Final-Recipient: rfc822; {MALLORY}\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n--b--\r\n"
    ).encode()
    site.take(AnswerReport("b1", site.now, "QB", notice.ref, "", True, raw))
    assert site.messages(MessageKind.NOTICE)[0].state is MessageState.BOUNCED
    assert len(site.messages(MessageKind.STAFF_ALERT)) == 1
    assert len(site.messages(to=MALLORY)) == 1
    assert site.metrics.registry.get_sample_value("stopit_messages_bounced_total", {"kind": "notice"}) == 1


def test_how_old_a_report_is_and_how_long_it_took_is_measured_once(site: Site) -> None:
    original = site.ledger.add("one@x", "mallory", VERA, WALT)
    first = site.flag(VERA, original, at=NOW - 40)
    site.take(first)  # it comes again: nothing is decided
    reports = [
        FlagReport(
            f"t{number}", NOW - 400, "Q", Channel.REPLY, Command.FLAG, WALT, Assurance.AUTHENTICATED, (original,)
        )
        for number in range(2)
    ]
    together(site, *reports)

    value = site.metrics.registry.get_sample_value
    assert value("stopit_report_age_at_decision_seconds_count") == 3
    assert value("stopit_report_age_at_decision_seconds_bucket", {"le": "60.0"}) == 1
    assert value("stopit_report_age_at_decision_seconds_bucket", {"le": "900.0"}) == 3
    assert value("stopit_decision_duration_seconds_count") == 4


def test_an_automatic_answer_is_kept_and_never_answered(site: Site) -> None:
    site.flag(VERA, site.ledger.add("one@x", "mallory", VERA, WALT))
    before = len(site.messages())
    raw = b"Auto-Submitted: auto-replied\r\nSubject: Away\r\n\r\ncancel\r\n"
    site.take(AnswerReport("o1", site.now, "QO", site.messages(to=VERA)[0].ref, "", False, raw))
    assert len(site.messages()) == before
    assert site.messages(MessageKind.NOTICE)[0].state is MessageState.PENDING
    assert EventKind.ANSWERED in site.events()


def test_an_answer_to_a_message_that_is_not_on_record_is_let_go(site: Site) -> None:
    site.take(AnswerReport("u1", NOW, "QU", "a" * 16, "", False, b"\r\ncancel\r\n"))
    assert site.queue.acked == ["u1"]
    assert site.messages() == []


def test_a_notice_that_would_tell_of_the_reporter_is_not_sent(tmp_path: Path) -> None:
    """A site's own template names the reporter in one sender's notice only."""
    templates = tmp_path / "templates"
    templates.mkdir()
    subject = "Subject: {% block subject %}A report{% endblock %}\n\n"
    told = "{% if account == 'mallory@campus.example' %}Vera told us.{% endif %}\nPlease stop.\n"
    (templates / "notice.txt.j2").write_text(subject + told)
    site = Site(tmp_path, f'{CONFIG}\n[notifier]\ntemplates = "{templates}"\n')
    site.flag(VERA, site.ledger.add("one@x", "mallory", VERA, WALT))
    assert site.messages(MessageKind.NOTICE) == []
    assert [alert.about for alert in site.messages(MessageKind.STAFF_ALERT)] == ["not-sent"]
    assert site.states() == [CaseState.STAFF]


@pytest.mark.parametrize(("channel", "said"), [(Channel.REPLY, True), (Channel.REPORT_ADDRESS, False)])
def test_only_a_reply_to_somebody_else_was_kept_back(site: Site, channel: Channel, said: bool) -> None:
    site.flag(VERA, site.ledger.add("one@x", "mallory", VERA, WALT), channel=channel, withheld=1)
    assert (b"was kept back" in site.messages(to=VERA)[0].data) is said


class TestSelfTest:
    def report(self, site: Site) -> AnswerReport:
        ref = KEYRING.new_self_test_ref()
        return AnswerReport(KEYRING.self_test_id(ref), site.now, "QT", ref, "", True, b"Subject: a test\r\n\r\n")

    def test_it_is_answered_once_and_leaves_no_case(self, site: Site) -> None:
        report = self.report(site)
        site.take(report)
        site.take(report)
        (message,) = site.unrecorded
        assert message.recipient == f"stopit+{KEYRING.token(report.ref)}@campus.example"
        assert KEYRING.open_token(message.envelope_from.partition("+")[2].partition("@")[0])
        assert f"Message-ID: <trial-answer.{report.ref}@campus.example>".encode() in message.data
        assert b"Auto-Submitted: auto-replied" in message.data
        assert site.queue.acked == [report.id, report.id]
        with site.store.reading() as reading:
            assert reading.taken_at(report.id) == site.now
            assert reading.list_cases(None, 10) == []
        assert site.messages() == []

    def test_an_mta_that_refuses_the_answer_holds_nothing_up(self, site: Site) -> None:
        site.send_result = SendResult(SendStatus.DEFERRED, "451 not now")
        report = self.report(site)
        site.take(report)
        assert site.queue.acked == [report.id]
