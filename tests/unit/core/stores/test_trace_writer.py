"""The trace writer: it never delays mail, keeps the order, and survives every fault of the ledger."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import pytest

from stopit_core.errors import Transient
from stopit_core.identity.keys import Keyring
from stopit_core.model import Digest, Trace
from stopit_core.stores.ledger.writer import TraceEvent, TraceWriter, WriterLimits
from stopit_lab.waiting import until

KEYRING = Keyring(b"k" * 32)
SENDER, REPORTER, OTHER = "mallory@example.edu", "vera@example.edu", "walt@example.edu"
PAIR = KEYRING.pair(KEYRING.address(SENDER), KEYRING.address(REPORTER))
SOON = 5.0
LIMITS = WriterLimits(capacity=20, batch=5, interval=0.01, idle=0.01, refresh=0.02, longest_pause=0.05)


class MemoryLedger:
    """A ledger in memory that can be unavailable or slow."""

    def __init__(self) -> None:
        self.traces: list[Trace] = []
        self.batches: list[int] = []
        self.pairs: frozenset[Digest] = frozenset()
        self.away = False
        self.open = threading.Event()
        self.open.set()
        self.asked = threading.Event()
        self.looks = 0
        self.expirable = 0
        self.expire_calls: list[float] = []

    def write(self, traces: Sequence[Trace]) -> None:
        for trace in traces:
            trace.login.encode()  # as the wire does: a surrogate cannot be encoded
        self.asked.set()
        self.open.wait(SOON)
        if self.away:
            raise Transient("away")
        self.traces += traces
        self.batches.append(len(traces))

    def find(self, message: Digest) -> list[Trace]:
        return [trace for trace in self.traces if trace.message == message]

    def watch(self, pair: Digest, until: float) -> None:
        self.pairs |= {pair}

    def watched(self, now: float) -> frozenset[Digest]:
        if self.away:
            raise Transient("away")
        self.looks += 1
        return self.pairs

    def expire(self, now: float) -> int:
        self.expire_calls.append(now)
        removed, self.expirable = min(10, self.expirable), max(0, self.expirable - 10)
        return removed

    def ping(self) -> None: ...

    def close(self) -> None: ...


class Lab:
    """A writer on a ledger in memory, and a record of its calls."""

    def __init__(self) -> None:
        self.ledger = MemoryLedger()
        self.counted: Counter[TraceEvent] = Counter()
        self.contacts: list[tuple[str, Digest]] = []
        self.contact_fault: Exception | None = None
        self.writers: list[TraceWriter] = []

    def writer(self, limits: WriterLimits = LIMITS, *, start: bool = True) -> TraceWriter:
        writer = TraceWriter(
            self.ledger, KEYRING, self.sender_of, self.on_contact, self.count, clock=lambda: 1000.0, limits=limits
        )
        self.writers.append(writer)
        if start:
            writer.start()
        return writer

    def sender_of(self, trace: Trace) -> str:
        if trace.login == "broken":
            raise RuntimeError("a directory's fault")
        return f"{trace.login}@example.edu" if trace.login else ""

    def on_contact(self, trace: Trace, pair: Digest) -> None:
        if self.contact_fault is not None:
            raise self.contact_fault
        self.contacts.append((trace.queue_id, pair))

    def count(self, event: TraceEvent, number: int) -> None:
        self.counted[event] += number


@pytest.fixture
def lab() -> Iterator[Lab]:
    lab = Lab()
    yield lab
    lab.ledger.open.set()
    for writer in lab.writers:
        writer.stop(SOON)


def trace(number: int, **more: object) -> Trace:
    return Trace(message=Digest(number.to_bytes(16, "big")), seen=1.0, queue_id=str(number), **more)  # type: ignore[arg-type]


def to(*addresses: str, number: int = 1, login: str = "mallory", **more: object) -> Trace:
    return trace(number, login=login, recipients=b"".join(map(KEYRING.address, addresses)), **more)


def numbers(lab: Lab) -> list[int]:
    return [int(trace.queue_id) for trace in lab.ledger.traces]


def test_traces_are_written_in_order_and_in_batches(lab: Lab) -> None:
    writer = lab.writer(start=False)
    assert all(writer.offer(trace(n)) for n in range(12))
    writer.start()
    assert writer.flush(SOON)
    assert numbers(lab) == list(range(12))
    assert lab.ledger.batches == [5, 5, 2]
    assert lab.counted == {TraceEvent.WRITTEN: 12}


def test_a_lone_trace_does_not_wait_for_a_batch(lab: Lab) -> None:
    lab.writer().offer(trace(1))
    assert until(lambda: numbers(lab) == [1], "the trace", SOON)


def test_flush_does_not_wait_for_the_interval(lab: Lab) -> None:
    writer = lab.writer(WriterLimits(interval=60.0, idle=60.0))
    writer.offer(trace(1))
    assert writer.flush(SOON)
    assert numbers(lab) == [1]


def test_flush_of_nothing_is_at_once(lab: Lab) -> None:
    assert lab.writer(start=False).flush(0.0)


def test_offer_never_waits_for_the_ledger_and_full_means_dropped(lab: Lab) -> None:
    writer = lab.writer()
    lab.ledger.open.clear()
    writer.offer(trace(0))
    assert lab.ledger.asked.wait(SOON)
    taken = [writer.offer(trace(n)) for n in range(1, 31)]
    assert taken == [True] * 20 + [False] * 10
    assert lab.counted[TraceEvent.DROPPED] == 10
    assert not writer.flush(0.05)
    lab.ledger.open.set()
    assert writer.flush(SOON)
    assert numbers(lab) == list(range(21))


def test_room_is_waited_for_but_not_for_ever(lab: Lab) -> None:
    writer = lab.writer(WriterLimits(capacity=20, batch=5, interval=0.01))
    lab.ledger.open.clear()
    assert all(writer.offer(trace(number)) for number in range(20))
    writer.wait_for_room(0.05)  # the ledger hangs: back without any
    lab.ledger.open.set()
    writer.wait_for_room(SOON)
    assert all(writer.offer(trace(number)) for number in range(20, 30))
    assert writer.flush(SOON)
    assert numbers(lab) == list(range(30))


def test_room_is_not_waited_for_while_the_ledger_is_away(lab: Lab) -> None:
    """The latest traces replace the oldest ones."""
    writer = lab.writer()
    lab.ledger.away = True
    assert all(writer.offer(trace(number)) for number in range(20))
    assert until(lambda: lab.counted[TraceEvent.FAULT] >= 1, "an attempt", SOON)
    began = time.monotonic()
    writer.wait_for_room(SOON)
    assert time.monotonic() - began < SOON / 2
    lab.ledger.away = False
    assert writer.flush(SOON)
    lab.ledger.open.clear()
    assert all(writer.offer(trace(number)) for number in range(20))
    assert until(lambda: not writer.flush(0.01), "a batch in hand", SOON)
    began = time.monotonic()
    writer.wait_for_room(0.3)
    assert time.monotonic() - began > 0.2  # it is there again: waited for


def test_what_a_short_outage_held_up_is_written_after_it(lab: Lab) -> None:
    writer = lab.writer()
    lab.ledger.away = True
    for n in range(10):
        writer.offer(trace(n))
    assert until(lambda: lab.counted[TraceEvent.FAULT] >= 3, "three attempts", SOON)
    lab.ledger.away = False
    assert writer.flush(SOON)
    assert numbers(lab) == list(range(10))
    assert lab.counted[TraceEvent.DROPPED] == 0


def test_in_a_long_outage_the_oldest_go_first(lab: Lab) -> None:
    writer = lab.writer()
    lab.ledger.away = True
    offered = 0

    def dropped() -> bool:
        nonlocal offered
        offered += writer.offer(trace(offered))
        return offered > 60

    assert until(dropped, "sixty traces to be taken", SOON * 2)
    lab.ledger.away = False
    writer.flush(SOON)
    kept = numbers(lab)
    assert kept == list(range(offered))[-len(kept) :]
    assert 0 < len(kept) <= LIMITS.capacity + LIMITS.batch
    assert lab.counted[TraceEvent.WRITTEN] == len(kept)


def test_flush_says_when_something_was_dropped(lab: Lab) -> None:
    writer = lab.writer()
    writer.offer(trace(1, login="\udcff"))
    assert not writer.flush(SOON)


def test_one_trace_that_cannot_be_written_takes_no_other_with_it(lab: Lab) -> None:
    writer = lab.writer(start=False)
    for n in range(5):
        writer.offer(trace(n, login="\udcff" if n == 2 else ""))
    writer.start()
    writer.flush(SOON)
    assert numbers(lab) == [0, 1, 3, 4]
    assert lab.counted == {TraceEvent.WRITTEN: 4, TraceEvent.DROPPED: 1}


def test_stop_writes_what_is_left(lab: Lab) -> None:
    writer = lab.writer(WriterLimits(interval=60.0, idle=60.0, batch=5))
    for n in range(12):
        writer.offer(trace(n))
    assert writer.stop(SOON)
    assert numbers(lab) == list(range(12))
    assert not writer.offer(trace(99))


def test_stop_does_not_wait_for_a_ledger_that_is_away(lab: Lab) -> None:
    writer = lab.writer()
    lab.ledger.away = True
    for n in range(15):
        writer.offer(trace(n))
    assert not writer.stop(SOON)
    assert lab.counted[TraceEvent.DROPPED] == 15


def test_stop_before_start_is_nothing(lab: Lab) -> None:
    assert lab.writer(start=False).stop(0.0)


class TestContacts:
    @pytest.fixture
    def watching(self, lab: Lab) -> TraceWriter:
        """A writer that knows the watched pair."""
        lab.ledger.pairs = frozenset({PAIR})
        writer = lab.writer()
        assert until(lambda: lab.ledger.looks >= 2, "the second look, so that the first is taken in", SOON)
        return writer

    def written(self, writer: TraceWriter, *traces: Trace) -> None:
        for each in traces:
            writer.offer(each)
        assert writer.flush(SOON)
        writer.stop(SOON)

    def test_a_watched_pair_that_meets_again_is_told_once(self, lab: Lab, watching: TraceWriter) -> None:
        self.written(watching, to(OTHER, REPORTER))
        assert lab.contacts == [("1", PAIR)]

    @pytest.mark.parametrize(
        "silent",
        [
            to(OTHER),
            to(REPORTER, login="walt"),
            to(REPORTER, login=""),
            to(REPORTER, own=True),
            to(REPORTER, bulk=True),
            to(SENDER, login="vera"),
        ],
        ids=["another recipient", "another sender", "unknown sender", "own", "bulk", "the other way"],
    )
    def test_what_is_no_contact(self, lab: Lab, watching: TraceWriter, silent: Trace) -> None:
        self.written(watching, silent)
        assert lab.contacts == []

    def test_a_pair_that_is_watched_later_is_learnt(self, lab: Lab) -> None:
        writer = lab.writer()
        lab.ledger.pairs = frozenset({PAIR})

        def met() -> bool:
            writer.offer(to(REPORTER))
            return bool(lab.contacts)

        assert until(met, "a contact", SOON)

    def test_a_contact_that_could_not_be_kept_is_told_again(self, lab: Lab, watching: TraceWriter) -> None:
        lab.contact_fault = Transient("queue and spool are away")
        watching.offer(to(REPORTER))
        assert watching.flush(SOON)
        assert lab.contacts == []
        lab.contact_fault = None
        assert until(lambda: lab.contacts == [("1", PAIR)], "the contact", SOON)

    def test_contacts_that_cannot_be_kept_are_bounded_and_counted(self, lab: Lab) -> None:
        lab.ledger.pairs = frozenset({PAIR})
        lab.contact_fault = Transient("queue and spool are away")
        writer = lab.writer(WriterLimits(idle=0.01, contacts=2))
        assert until(lambda: lab.ledger.looks, "a look", SOON)

        def lost() -> bool:
            writer.offer(to(REPORTER))
            return lab.counted[TraceEvent.CONTACT_LOST] > 0

        assert until(lost, "a contact to be dropped", SOON)
        lab.contact_fault = None
        assert until(lambda: lab.contacts, "the others to be told", SOON)

    @pytest.mark.parametrize("fault", ["sender_of", "on_contact"])
    def test_a_fault_of_others_does_not_end_the_thread(self, lab: Lab, watching: TraceWriter, fault: str) -> None:
        if fault == "on_contact":
            lab.contact_fault = RuntimeError("bug")
        watching.offer(to(REPORTER, login="broken" if fault == "sender_of" else "mallory"))
        expected = TraceEvent.FAULT if fault == "sender_of" else TraceEvent.CONTACT_LOST
        assert until(lambda: lab.counted[expected], "the fault to be counted", SOON)
        lab.contact_fault = None
        self.written(watching, to(REPORTER, number=2))
        assert lab.contacts == [("2", PAIR)]


def advancing(step: float) -> Callable[[], float]:
    """A monotonic clock that advances by `step` seconds at each call."""
    now = iter(range(10**9))
    return lambda: next(now) * step


def test_expiry_is_called_at_its_time_and_again_while_there_is_more(lab: Lab) -> None:
    lab.ledger.expirable = 25
    writer = TraceWriter(
        lab.ledger,
        KEYRING,
        lab.sender_of,
        lab.on_contact,
        lab.count,
        clock=lambda: 1000.0,
        monotonic=advancing(0.5),
        limits=LIMITS,
    )
    lab.writers.append(writer)
    writer.start()
    assert until(lambda: lab.ledger.expirable == 0, "all to expire", SOON)
    assert until(lambda: len(lab.ledger.expire_calls) >= 4, "the call that finds nothing", SOON)
    writer.stop(SOON)
    assert lab.ledger.expire_calls == [1000.0] * 4
