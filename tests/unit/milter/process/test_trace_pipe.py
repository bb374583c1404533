"""The trace pipe: traces arrive whole and in order, and none is lost without being counted."""

from __future__ import annotations

import os
import socket
import traceback
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stopit_core.model import ADDRESS_DIGEST_BYTES, AuthResults, Digest, Trace
from stopit_core.stores.ledger.writer import TraceEvent
from stopit_lab.waiting import until
from stopit_milter.process.trace_pipe import LARGEST, TracePipe, TraceSender

TOO_MANY = LARGEST // ADDRESS_DIGEST_BYTES


def trace(number: int, recipients: int = 1, queue_id: str = "4X") -> Trace:
    return Trace(
        Digest(number.to_bytes(16, "big")),
        float(number),
        queue_id=queue_id,
        recipient_count=recipients,
        recipients=bytes(ADDRESS_DIGEST_BYTES * recipients),
    )


def fails(*_: object) -> None:
    raise AssertionError("nothing may be dropped or handed elsewhere")


def taken_of(*workers: Callable[[TraceSender], object]) -> list[Trace]:
    """Return what the trace writer receives from workers, which are processes as in service."""
    trace_pipe = TracePipe()
    pids = [_worker(trace_pipe, work) for work in workers]
    taken = [each for traces in trace_pipe.received() for each in traces]
    assert all(os.waitpid(pid, 0)[1] == 0 for pid in pids)
    trace_pipe.close()
    return taken


def _worker(trace_pipe: TracePipe, work: Callable[[TraceSender], object]) -> int:
    if pid := os.fork():
        return pid
    code = 1
    try:
        trace_sender = TraceSender(trace_pipe.sender(), fails, fails)
        trace_sender.start()
        work(trace_sender)
        code = 0 if trace_sender.stop(10.0) else 2
    except BaseException:  # noqa: BLE001  the frames of pytest must never run on in the child
        traceback.print_exc()
    finally:
        os._exit(code)


def offering(traces: Sequence[Trace]) -> Callable[[TraceSender], object]:
    return lambda trace_sender: [trace_sender.offer(each) for each in traces]


_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
TRACES = st.builds(
    Trace,
    st.binary(min_size=16, max_size=16),
    st.floats(0, 2e9),
    _TEXT,
    _TEXT,
    _TEXT,
    _TEXT,
    _TEXT,
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.integers(0, 10_000),
    st.binary(max_size=80),
    st.builds(AuthResults, st.booleans(), _TEXT, _TEXT),
)


@settings(max_examples=25)
@given(st.lists(TRACES, max_size=100))
def test_what_is_received_is_what_was_offered(traces: list[Trace]) -> None:
    assert taken_of(offering(traces)) == traces


def test_those_of_several_workers_in_the_order_of_each() -> None:
    first, second = [trace(number) for number in range(3000)], [trace(number) for number in range(10_000, 13_000)]
    taken = taken_of(offering(first), offering(second))
    assert [each for each in taken if each.seen < 10_000] == first
    assert [each for each in taken if each.seen >= 10_000] == second


def test_large_ones_share_a_packet_with_few() -> None:
    traces = [trace(number, TOO_MANY // 3) for number in range(10)] + [trace(10, TOO_MANY - 100), trace(11)]
    assert taken_of(offering(traces)) == traces


def test_without_any_the_end_is_the_end() -> None:
    assert taken_of(offering([])) == []
    assert taken_of() == []


class Narrow:
    """A TraceSender whose other end is not read before `read`, and the events that it counts."""

    def __init__(self, capacity: int = 1000) -> None:
        self.end, self._taking = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # the kernel's minimum, some kB
        self.dropped = 0
        self.elsewhere: list[Trace] = []
        self.trace_sender = TraceSender(self.end, self._count, self.elsewhere.append, capacity)

    def _count(self, event: TraceEvent, number: int) -> None:
        assert event is TraceEvent.DROPPED
        self.dropped += number

    def read(self) -> int:
        """Return the number of traces that have arrived."""
        self._taking.setblocking(False)
        count = 0
        try:
            while packet := self._taking.recv(LARGEST):
                count += int.from_bytes(packet[1:3], "big")
        except BlockingIOError:
            pass
        return count

    def hang_up(self) -> None:
        self._taking.close()

    def close(self) -> None:
        self.end.close()
        self._taking.close()


@pytest.fixture
def narrow() -> Iterator[Narrow]:
    one = Narrow()
    yield one
    one.close()


def test_what_finds_no_room_is_sent_later(narrow: Narrow) -> None:
    narrow.trace_sender.start()
    assert all(narrow.trace_sender.offer(trace(number)) for number in range(900))
    read = 0

    def all_read() -> bool:
        nonlocal read
        read += narrow.read()
        return read == 900

    until(all_read, "all of them")
    assert narrow.trace_sender.stop(1.0)
    assert narrow.dropped == 0


def test_a_full_buffer_drops_and_counts_and_never_waits(narrow: Narrow) -> None:
    assert [narrow.trace_sender.offer(trace(number)) for number in range(1005)] == [True] * 1000 + [False] * 5
    assert narrow.dropped == 5


def test_what_nobody_takes_before_the_end_is_counted(narrow: Narrow) -> None:
    narrow.trace_sender.start()
    for number in range(900):
        narrow.trace_sender.offer(trace(number))
    assert not narrow.trace_sender.stop(0.1)
    assert narrow.read() + narrow.dropped == 900
    assert narrow.dropped > 0
    assert not narrow.trace_sender.offer(trace(901))


def test_without_a_trace_writer_it_is_counted(narrow: Narrow) -> None:
    narrow.trace_sender.start()
    narrow.hang_up()
    narrow.trace_sender.offer(trace(1))
    assert not narrow.trace_sender.stop(0.1)
    assert narrow.dropped == 1


def test_one_that_fits_no_packet_goes_to_otherwise(narrow: Narrow) -> None:
    large = trace(1, TOO_MANY)
    assert narrow.trace_sender.offer(large)
    assert narrow.elsewhere == [large]
    assert narrow.dropped == 0


def test_one_that_is_no_text_is_dropped_and_counted(narrow: Narrow) -> None:
    assert not narrow.trace_sender.offer(trace(1, queue_id="\udcff"))
    assert narrow.dropped == 1
    assert narrow.trace_sender.offer(trace(2))
