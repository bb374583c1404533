"""The outbox with a real SMTP server, a real record and a ledger with the milter's traces: killed at every failpoint,
with every fault of SMTP, and two outboxes at once. The MTA takes a notice once, or staff are told why not."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import pytest
from sqlalchemy import update

from stopit_core.cases import CaseState, EventKind, MessageState
from stopit_core.cases.schema import messages
from stopit_core.errors import Transient
from stopit_core.outgoing.facts import MessageKind
from stopit_lab.sink import Act, At
from stopit_notifier.failpoints import Failpoint
from stopit_notifier.sending.outbox import pause

Rig = Any  # tests/unit/notifier/conftest.py; a conftest cannot be imported

SENDING_FAILPOINTS = [
    Failpoint.MESSAGE_CLAIMED,
    Failpoint.CONNECTED,
    Failpoint.RECIPIENT_ACCEPTED,
    Failpoint.BEFORE_DATA,
    Failpoint.BEFORE_DOT,
    Failpoint.AFTER_DOT,
    Failpoint.ACCEPTED,
    Failpoint.BEFORE_MARK,
    Failpoint.MARKED_SENT,
    Failpoint.WATCHED,
]
NOT_WHEN_PIPELINED = {Failpoint.RECIPIENT_ACCEPTED, Failpoint.BEFORE_DOT}
DAY = 86400.0
SLOW = 0.2


class Killed(BaseException):
    """Stands for SIGKILL: no code of the notifier handles it."""


def killer(at: Failpoint) -> Any:
    def failpoint(failpoint: Failpoint) -> None:
        if failpoint is at:
            raise Killed

    return failpoint


def sent_something(rig: Rig) -> None:
    """Send a message, whose trace shows that our mail passes the milter."""
    rig.queue(MessageKind.ACKNOWLEDGEMENT)
    assert rig.outbox().run_once()


# -- all is well


def test_what_is_due_is_sent_once_and_marked(rig: Rig) -> None:
    notice = rig.queue()
    outbox = rig.outbox()

    assert [outbox.run_once(), outbox.run_once()] == [True, False]

    assert rig.copies(notice) == 1
    after = rig.message(notice)
    assert (after.state, after.sent_at, after.attempts) == (MessageState.SENT, rig.now, 1)
    assert rig.case(notice)[0].state is CaseState.NOTIFIED
    assert rig.registry.get_sample_value("stopit_messages_sent_total", {"kind": "notice", "result": "sent"}) == 1


def test_sent_notice_is_watched_for_each_reporter_whose_report_stands(rig: Rig) -> None:
    reporters = ("vera@campus.example", "walt@campus.example", "eve@campus.example")
    notice = rig.queue(reporters=reporters)
    with rig.store.sending() as sending:
        (eve,) = (row for row in sending.reports_on(notice) if row.reporter == reporters[2])
        sending.work.withdraw(eve, rig.now)

    rig.outbox().run_once()

    people = rig.context.current.people
    sender = people.digest("mallory@campus.example")
    wanted = {people.keyring.pair(sender, people.digest(each)) for each in reporters[:2]}
    assert rig.ledger.watched(rig.now) == wanted
    assert rig.ledger.watched(rig.now + 30 * DAY + 1) == set()
    with rig.store.reading() as reading:
        assert {watch.pair for watch in reading.watches(rig.now)} == wanted


def test_acknowledgement_is_not_watched(rig: Rig) -> None:
    rig.queue(MessageKind.ACKNOWLEDGEMENT)

    rig.outbox().run_once()

    assert rig.ledger.watched(rig.now) == set()


# -- in batches


def everything(outbox: Any) -> None:
    while outbox.run_once():
        pass


def acknowledgements(rig: Rig, number: int = 10) -> list[Any]:
    return [rig.queue(MessageKind.ACKNOWLEDGEMENT) for _ in range(number)]


def test_acknowledgements_go_out_in_batches_and_notices_alone(rig: Rig) -> None:
    first, notice, second = acknowledgements(rig), rig.queue(), acknowledgements(rig)
    outbox = rig.outbox()

    assert [outbox.run_once() for _ in range(4)] == [True, True, True, False]

    for message in (*first, notice, *second):
        assert (rig.message(message).state, rig.copies(message)) == (MessageState.SENT, 1)
        assert [event.kind for event in rig.case(message)[1]].count(EventKind.MESSAGE_SENT) == 1
    at = [each.data.find(notice.message_id.encode()) >= 0 for each in rig.sink.taken].index(True)
    assert at == len(first)


@pytest.mark.parametrize("failpoint", SENDING_FAILPOINTS, ids=lambda failpoint: failpoint.value)
def test_batch_that_is_killed_at_any_failpoint_is_finished(batch_rig: Rig, failpoint: Failpoint) -> None:
    rig = batch_rig
    if rig.sink.pipelining and failpoint in NOT_WHEN_PIPELINED:
        pytest.skip("a pipelined message is one write")
    sent_something(rig)
    batch = acknowledgements(rig)
    with pytest.raises(Killed):
        everything(rig.outbox(killer(failpoint)))

    rig.ends()
    rig.recovered()

    assert [rig.message(each).state for each in batch] == [MessageState.SENT] * len(batch)
    assert [rig.copies(each) for each in batch] == [1] * len(batch)


def test_message_of_a_batch_that_is_refused_holds_up_no_other(batch_rig: Rig) -> None:
    rig = batch_rig
    batch = acknowledgements(rig)
    _spoil(rig, batch[0], b"Subject:", b"Bcc: eve@campus.example\r\nSubject:")
    rig.sink.faults[At.RCPT].extend(["550 5.1.1 no such user", "451 4.3.0 come again"])
    rig.sink.faults[At.DOT].append(Act.DROP)

    everything(rig.outbox())

    spoilt, *states = [rig.message(each).state for each in batch]
    assert spoilt is MessageState.FAILED
    if rig.sink.pipelining:  # when the connection breaks, the messages behind have no reply
        assert states.count(MessageState.FAILED) == 1
        assert {MessageState.PENDING, MessageState.SENDING, MessageState.SENT} <= set(states)
    else:
        assert sorted(states) == ["failed", "sending", *["sent"] * 7]  # after 451 it is sent on a new connection
    rig.pass_time(30)
    rig.recovered()
    assert sorted(rig.copies(each) for each in batch) == [0, 0, *[1] * 8]


def test_messages_for_which_a_batch_has_no_time_are_put_back(batch_rig: Rig) -> None:
    rig = batch_rig
    batch = acknowledgements(rig)
    outbox = rig.outbox(lambda failpoint: rig.pass_time(SLOW) if failpoint is Failpoint.CONNECTED else None)

    outbox.run_once()
    outbox.close()

    states = [rig.message(each).state for each in batch]
    assert MessageState.PENDING in states
    assert sum(rig.copies(each) for each in batch) == states.count(MessageState.SENT)
    rig.recovered()
    assert [rig.copies(each) for each in batch] == [1] * len(batch)


def test_batch_in_flight_is_waited_for_when_there_is_nothing_else_to_do(rig: Rig) -> None:
    batch, notice = acknowledgements(rig), rig.queue()
    go_on = threading.Event()
    outbox = rig.outbox(lambda failpoint: go_on.wait(10) and None if failpoint is Failpoint.CONNECTED else None)

    assert outbox.run_once(patient=False)
    assert not outbox.run_once(patient=False)
    assert {rig.message(each).state for each in batch} == {MessageState.SENDING}
    go_on.set()
    assert outbox.run_once()

    assert {rig.message(each).state for each in (*batch, notice)} == {MessageState.SENT}


def test_two_batches_are_in_flight_and_a_third_waits(batch_rig: Rig) -> None:
    rig = batch_rig
    batches = acknowledgements(rig, 260)
    notice = rig.queue()
    go_on = threading.Event()
    outbox = rig.outbox(lambda failpoint: go_on.wait(10) and None if failpoint is Failpoint.CONNECTED else None)

    assert [outbox.run_once(patient=False) for _ in range(3)] == [True, True, False]
    assert {rig.message(each).state for each in batches} == {MessageState.SENDING}
    assert rig.message(notice).state is MessageState.PENDING
    go_on.set()
    everything(outbox)

    assert {rig.message(each).state for each in (*batches, notice)} == {MessageState.SENT}
    assert [rig.copies(each) for each in (*batches, notice)] == [1] * 261


def test_exception_in_a_batch_is_raised_after_the_other_results_are_recorded(batch_rig: Rig) -> None:
    rig = batch_rig
    sent_something(rig)
    batch = acknowledgements(rig)
    passes = itertools.count()

    def fail_once(failpoint: Failpoint) -> None:
        if failpoint is Failpoint.CONNECTED and next(passes) == 0:
            raise KeyError

    outbox = rig.outbox(fail_once)
    with pytest.raises(KeyError):
        everything(outbox)

    states = [rig.message(each).state for each in batch]
    assert set(states) == {MessageState.SENDING, MessageState.SENT}
    assert states.count(MessageState.SENDING) <= 5  # with those whose reply was pending
    rig.recovered(outbox)
    assert [rig.copies(each) for each in batch] == [1] * len(batch)


# -- killed


@pytest.mark.parametrize("kind", [MessageKind.NOTICE, MessageKind.FIRMER_NOTICE, MessageKind.ACKNOWLEDGEMENT])
@pytest.mark.parametrize("failpoint", SENDING_FAILPOINTS, ids=lambda failpoint: failpoint.value)
def test_killed_at_any_failpoint_it_is_sent_once(quick_rig: Rig, failpoint: Failpoint, kind: MessageKind) -> None:
    rig = quick_rig
    sent_something(rig)
    message = rig.queue(kind)
    with pytest.raises(Killed):
        rig.outbox(killer(failpoint)).run_once()

    rig.ends()
    rig.recovered()

    assert rig.copies(message) == 1
    after = rig.message(message)
    assert after.state is MessageState.SENT
    assert [event.kind for event in rig.case(message)[1]].count(EventKind.MESSAGE_SENT) == 1
    assert rig.alerts(message) == []
    with rig.store.reading() as reading:
        assert len(reading.watches(rig.now)) == kind.to_sender


@pytest.mark.parametrize(
    "failpoint",
    [Failpoint.RECOVERING, Failpoint.RECOVERED, Failpoint.BEFORE_MARK],
    ids=lambda failpoint: failpoint.value,
)
@pytest.mark.parametrize("first", [Failpoint.BEFORE_DOT, Failpoint.ACCEPTED], ids=lambda failpoint: failpoint.value)
def test_killed_again_during_recovery_it_is_sent_once(quick_rig: Rig, first: Failpoint, failpoint: Failpoint) -> None:
    rig = quick_rig
    sent_something(rig)
    notice = rig.queue()
    with pytest.raises(Killed):
        rig.outbox(killer(first)).run_once()
    with pytest.raises(Killed):
        rig.recovered(rig.outbox(killer(failpoint)))

    rig.recovered()

    assert rig.copies(notice) == 1
    assert rig.message(notice).state is MessageState.SENT


def test_nothing_is_recovered_before_the_old_attempt_is_over(rig: Rig) -> None:
    notice = rig.queue()
    with pytest.raises(Killed):
        rig.outbox(killer(Failpoint.MESSAGE_CLAIMED)).run_once()
    outbox = rig.outbox()

    outbox.recover()
    rig.now += DAY  # the clock is set: that is no time that has passed
    rig.ticks += 0.9
    outbox.recover()
    early = rig.message(notice).state
    rig.ticks += 0.2
    outbox.recover()

    assert (early, rig.message(notice).state) == (MessageState.SENDING, MessageState.PENDING)


@pytest.mark.parametrize(
    ("failpoint", "state", "copies"),
    [
        (Failpoint.RECIPIENT_ACCEPTED, MessageState.SENT, 1),  # nothing of it had left: no ledger is needed
        (Failpoint.BEFORE_DATA, MessageState.UNCLEAR, 0),
        (Failpoint.ACCEPTED, MessageState.UNCLEAR, 1),
    ],
)
def test_notice_is_unclear_where_our_mail_does_not_pass_the_milter(
    rig: Rig, failpoint: Failpoint, state: MessageState, copies: int
) -> None:
    rig.milter = False
    sent_something(rig)
    notice = rig.queue()
    with pytest.raises(Killed):
        rig.outbox(killer(failpoint)).run_once()

    rig.recovered()

    assert (rig.message(notice).state, rig.copies(notice)) == (state, copies)
    unclear = state is MessageState.UNCLEAR
    assert [alert.about for alert in rig.alerts(notice)] == (["unclear:notice"] if unclear else [])
    assert rig.case(notice)[0].state is (CaseState.STAFF if unclear else CaseState.NOTIFIED)


def test_notice_is_unclear_after_the_host_lost_power(rig: Rig) -> None:
    """The trace that the milter had not written yet is lost."""
    sent_something(rig)
    rig.milter = False
    notice = rig.queue()
    with pytest.raises(Killed):
        rig.outbox(killer(Failpoint.ACCEPTED)).run_once()
    rig.boot, rig.milter = "boot-2", True

    rig.recovered()

    assert (rig.message(notice).state, rig.copies(notice)) == (MessageState.UNCLEAR, 1)


@pytest.mark.parametrize(
    ("at_first", "then", "state"),
    [
        ("1" * 40, "1" * 40, MessageState.SENT),  # the same one: without a trace the MTA has not got it
        ("1" * 40, "2" * 40, MessageState.UNCLEAR),
        ("", "2" * 40, MessageState.UNCLEAR),
    ],
    ids=["same", "failover", "from-one-server"],
)
def test_notice_is_unclear_after_a_failover_of_the_ledger(
    rig: Rig, at_first: str, then: str, state: MessageState
) -> None:
    """The new master may lack the trace of this message, and have those of earlier ones."""
    rig.replication_id = at_first
    outbox = rig.outbox()
    for _ in range(3):  # it has held for a minute by the claim
        outbox.run_once()
        rig.pass_time(45)
    sent_something(rig)
    rig.milter = False
    notice = rig.queue()
    with pytest.raises(Killed):
        rig.outbox(killer(Failpoint.BEFORE_DOT)).run_once()
    rig.replication_id, rig.milter = then, True

    rig.recovered()

    assert rig.message(notice).state is state
    assert rig.copies(notice) == (1 if state is MessageState.SENT else 0)


def test_notice_is_unclear_in_the_minute_after_a_failover(rig: Rig) -> None:
    """A milter may still have written to the old master."""
    sent_something(rig)
    rig.replication_id = "1" * 40
    rig.pass_time(20)
    notice = rig.queue()
    rig.milter = False
    with pytest.raises(Killed):
        rig.outbox(killer(Failpoint.ACCEPTED)).run_once()
    rig.milter = True

    rig.recovered()

    assert (rig.message(notice).state, rig.copies(notice)) == (MessageState.UNCLEAR, 1)


def test_acknowledgement_is_sent_again_when_nobody_can_tell(rig: Rig) -> None:
    rig.milter = False
    message = rig.queue(MessageKind.ACKNOWLEDGEMENT)
    with pytest.raises(Killed):
        rig.outbox(killer(Failpoint.BEFORE_DOT)).run_once()

    rig.recovered()

    assert (rig.message(message).state, rig.copies(message)) == (MessageState.SENT, 1)


def test_ledger_that_is_away_is_waited_for_and_then_given_time(rig: Rig) -> None:
    sent_something(rig)
    notice = rig.queue()
    with pytest.raises(Killed):
        rig.outbox(killer(Failpoint.ACCEPTED)).run_once()
    outbox = rig.outbox()
    outbox.recover()
    rig.pass_time(5)
    away = rig.ledger_path.with_suffix(".away")
    rig.ledger_path.rename(away)
    rig.ledger_path.mkdir()
    with pytest.raises(Transient):
        outbox.recover()
    rig.ledger_path.rmdir()
    away.rename(rig.ledger_path)

    outbox.recover()  # it is back, but the milter may not have written down yet what it kept
    first = rig.message(notice).state
    rig.pass_time(1)
    outbox.recover()

    assert (first, rig.message(notice).state) == (MessageState.SENDING, MessageState.SENT)
    assert rig.copies(notice) == 1


# -- the MTA says no, or nothing


@pytest.mark.parametrize("at", [At.CONNECT, At.MAIL, At.RCPT, At.DATA, At.DOT])
def test_4yz_is_tried_again_later(rig: Rig, at: At) -> None:
    notice = rig.queue()
    rig.sink.faults[at].append("451 4.3.0 come again")
    outbox = rig.outbox()

    assert outbox.run_once()

    put_off = rig.message(notice)
    assert (put_off.state, put_off.due_at) == (MessageState.PENDING, rig.now + 30)
    assert "451 4.3.0 come again" in put_off.error
    assert not outbox.run_once()
    rig.pass_time(30)
    assert outbox.run_once()
    assert (rig.message(notice).state, rig.copies(notice)) == (MessageState.SENT, 1)
    assert rig.alerts(notice) == []


@pytest.mark.parametrize("at", [At.MAIL, At.RCPT, At.DATA, At.DOT])
@pytest.mark.parametrize("kind", [MessageKind.NOTICE, MessageKind.ACKNOWLEDGEMENT])
def test_5yz_is_on_the_case_and_staff_are_told(quick_rig: Rig, at: At, kind: MessageKind) -> None:
    rig = quick_rig
    message = rig.queue(kind)
    rig.sink.faults[at].append("550 5.1.1 <mallory@campus.example>: no such user")

    rig.recovered()

    assert (rig.message(message).state, rig.copies(message)) == (MessageState.FAILED, 0)
    case, events, _ = rig.case(message)
    assert [event.detail["ref"] for event in events if event.kind is EventKind.MESSAGE_FAILED] == [message.ref]
    assert [alert.about for alert in rig.alerts(message)] == [f"not-sent:{kind.value}"]
    assert rig.alerts(message)[0].state is MessageState.SENT
    assert (case.state is CaseState.STAFF) == kind.to_sender
    assert "mallory" not in rig.said.getvalue()


def test_alert_that_fails_makes_no_alert(rig: Rig) -> None:
    message = rig.queue()
    rig.sink.faults[At.RCPT].extend(["550 no", "550 neither"])

    rig.recovered()

    assert [alert.state for alert in rig.alerts(message)] == [MessageState.FAILED]


def test_message_that_is_put_off_for_too_long_is_given_up(rig: Rig) -> None:
    notice = rig.queue()
    outbox = rig.outbox()
    for _ in range(2):
        rig.sink.faults[At.RCPT].append("450 4.2.0 not now")
        assert outbox.run_once()
        rig.pass_time(3 * DAY)

    after = rig.message(notice)
    assert after.state is MessageState.FAILED
    assert "given up after 2 attempts" in after.error
    assert [alert.about for alert in rig.alerts(notice)] == ["not-sent:notice"]


@pytest.mark.parametrize(("act", "copies"), [(Act.DROP, 1), (Act.TAKE_AND_DROP, 1)])
def test_connection_that_breaks_at_the_dot_is_recovered_from_the_ledger(rig: Rig, act: Act, copies: int) -> None:
    sent_something(rig)
    notice = rig.queue()
    rig.sink.faults[At.DOT].append(act)
    outbox = rig.outbox()
    outbox.run_once()
    between = rig.message(notice).state

    rig.recovered(outbox)

    assert between is MessageState.SENDING
    assert (rig.message(notice).state, rig.copies(notice)) == (MessageState.SENT, copies)


@pytest.mark.parametrize(
    ("act", "state", "copies"),
    [(Act.HANG, MessageState.UNCLEAR, 0), (Act.TAKE_AND_HANG, MessageState.SENT, 1)],
)
def test_mta_that_hangs_at_the_dot_may_take_a_notice_later_yet(
    rig: Rig, act: Act, state: MessageState, copies: int
) -> None:
    sent_something(rig)
    notice = rig.queue()
    rig.sink.faults[At.DOT].append(act)
    rig.data_within = 0.5
    rig.outbox().run_once()
    rig.data_within = 30.0

    rig.recovered()  # a notifier that was started meanwhile knows it from the record

    assert (rig.message(notice).state, rig.copies(notice)) == (state, copies)


def test_trace_of_an_attempt_that_was_refused_after_the_milter_is_no_proof(rig: Rig) -> None:
    """Our milter saw the message, then the MTA's queue was full; the next attempt was killed before its dot."""
    sent_something(rig)
    notice = rig.queue()
    rig.trace(notice, rig.now)
    rig.sink.faults[At.DOT].append("452 4.3.1 queue is full")
    rig.outbox().run_once()
    rig.pass_time(30)
    with pytest.raises(Killed):
        rig.outbox(killer(Failpoint.BEFORE_DOT)).run_once()

    rig.recovered()

    assert (rig.message(notice).state, rig.copies(notice)) == (MessageState.UNCLEAR, 0)


def test_trace_that_is_not_ours_is_no_proof(rig: Rig) -> None:
    """A member who knows the Message-ID of a notice cannot make it count as sent."""
    sent_something(rig)
    notice = rig.queue()
    with pytest.raises(Killed):
        rig.outbox(killer(Failpoint.BEFORE_DOT)).run_once()
    rig.trace(notice, rig.now, own=False)

    rig.recovered()

    assert rig.copies(notice) == 1


# -- two outboxes


def test_of_two_outboxes_one_sends(rig: Rig) -> None:
    notices = [rig.queue() for _ in range(6)]
    outboxes = [rig.outbox(), rig.outbox()]

    def work(outbox: Any) -> None:
        for _ in range(8):
            outbox.run_once()

    threads = [threading.Thread(target=work, args=(outbox,)) for outbox in outboxes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [rig.copies(notice) for notice in notices] == [1] * 6


def test_notifier_that_stalls_past_its_claim_finds_it_gone(rig: Rig) -> None:
    notice = rig.queue()

    def stall(failpoint: Failpoint) -> None:
        if failpoint is Failpoint.RECIPIENT_ACCEPTED:
            rig.recovered()

    assert rig.outbox(stall).run_once()

    assert (rig.message(notice).state, rig.copies(notice)) == (MessageState.SENT, 1)


def test_250_that_the_record_could_not_take_is_written_as_soon_as_it_can(rig: Rig) -> None:
    notice = rig.queue()
    away = True

    def fail(failpoint: Failpoint) -> None:
        if failpoint is Failpoint.BEFORE_MARK and away:
            raise Transient("case record: away")

    outbox = rig.outbox(fail)
    with pytest.raises(Transient):
        outbox.run_once()
    with pytest.raises(Transient):
        outbox.recover()
    away = False
    outbox.recover()

    assert (rig.message(notice).state, rig.copies(notice)) == (MessageState.SENT, 1)


# -- the final check


def test_notice_that_names_a_reporter_is_never_sent(rig: Rig) -> None:
    notice = rig.queue(reporters=("vera@campus.example", "walt@campus.example"))
    _spoil(rig, notice, b"Hello,", b"Hello, Walt wrote to us,")

    rig.recovered()

    assert (rig.message(notice).state, rig.copies(notice)) == (MessageState.FAILED, 0)
    assert [alert.about for alert in rig.alerts(notice)] == ["not-sent:notice"]
    assert "walt" not in rig.said.getvalue().lower()
    assert "level=error" in rig.said.getvalue()


def test_message_with_another_header_is_never_sent(rig: Rig) -> None:
    message = rig.queue(MessageKind.ACKNOWLEDGEMENT)
    _spoil(rig, message, b"Subject:", b"Bcc: eve@campus.example\r\nSubject:")

    rig.recovered()

    assert (rig.message(message).state, rig.copies(message)) == (MessageState.FAILED, 0)


def test_reporter_whose_name_is_a_word_of_the_notice_stops_nothing(rig: Rig) -> None:
    notice = rig.queue(reporters=("november@campus.example", "account@campus.example", "stopit@other.example"))

    rig.recovered()

    assert rig.message(notice).state is MessageState.SENT


# -- pauses


def test_pauses_double_up_to_an_hour_and_half_of_one_is_left_to_chance() -> None:
    assert [pause(attempt, 0.0) for attempt in (1, 2, 3, 8, 100)] == [30, 60, 120, 3600, 3600]
    assert pause(1, 0.999) == pytest.approx(15, abs=0.1)


def test_next_due_is_when_the_loop_must_look_again(rig: Rig) -> None:
    outbox = rig.outbox()
    assert outbox.next_due() is None
    rig.queue()
    assert outbox.next_due() == rig.now


def _spoil(rig: Rig, message: Any, old: bytes, new: bytes) -> None:
    assert old in message.data
    with rig.store.work() as work:
        work.flushed_connection().execute(
            update(messages).where(messages.c.id == message.id).values(data=message.data.replace(old, new, 1))
        )
