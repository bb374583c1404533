"""Traces on their way from the workers to the child that writes them.

    worker:  offer -> packed -> buffer (bounded) -+
    worker:  offer -> packed -> buffer (bounded) -+-> [socket] -> taken: the writing child

To write traces holds up the interpreter that does it, and where it is a worker's, every message in it
(docs/adr/0016). Here a trace costs a worker no more than to pack it.

The parent makes the one pair of sockets before it forks, and keeps both ends: so what was sent while the writing
child was dead waits in the kernel for the next one. It takes sequenced packets (unix(7)): they stay whole though all
workers send at one end, and they end once the last process has closed that end, by which the writing child knows
that no more can come. Nobody else can get at it, so what it carries needs neither a version nor a check.
"""

from __future__ import annotations

import socket
import time
from collections import deque
from collections.abc import Callable, Iterator

import msgspec

from stopit_core.model import Trace
from stopit_core.stores.ledger.writer import TraceEvent
from stopit_milter.process.periodic import PeriodicTask

__all__ = ["LARGEST", "TracePipe", "TraceSender"]

LARGEST = 128 * 1024
"""Octets of the largest packet. Every kernel takes one of this size; a trace has 8 octets for each recipient."""
_PACKET_TRACES = 64
_BUFFER_BYTES = 4 * 1024 * 1024
"""Asked for in the kernel, which gives no more than net.core.wmem_max."""
_CAPACITY = 20_000
_INTERVAL = 0.05
_PAUSE = 0.01

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[list[Trace]] = msgspec.msgpack.Decoder(list[Trace])


class TracePipe:
    """The pair of sockets. Each process keeps the end that it has a use for, and closes the other."""

    def __init__(self) -> None:
        self._giving, self._taking = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._giving.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)

    def sender(self) -> socket.socket:
        """In a worker, after the fork: the end that a TraceSender sends at."""
        self._taking.close()
        return self._giving

    def received(self) -> Iterator[list[Trace]]:
        """In the writing child, after the fork: what comes, until no process is left that could give anything."""
        self._giving.close()
        room = bytearray(LARGEST)
        while size := self._taking.recv_into(room):
            yield _decoder.decode(memoryview(room)[:size])

    def close(self) -> None:
        """In the parent, when nobody is to be forked any more; and in a child that neither gives nor takes."""
        self._giving.close()
        self._taking.close()


class TraceSender:
    """A worker's way to the writing child: one thread that sends what was offered, at intervals.

    `offer` takes no lock and wakes nobody, as the trace writer's does. When the buffer is full, because for many
    seconds no child took anything, a trace is dropped, and `count` told. `otherwise` gets one that is too large for a
    packet. Must be started after the fork.
    """

    def __init__(
        self,
        end: socket.socket,
        count: Callable[[TraceEvent, int], None],
        otherwise: Callable[[Trace], object],
        capacity: int = _CAPACITY,
    ) -> None:
        self._end = end
        self._count = count
        self._otherwise = otherwise
        self._capacity = capacity
        self._buffer: deque[bytes] = deque()
        self._packet: list[bytes] = []
        """What is to be sent next, when it could not be yet. The thread's own."""
        self._stopping = False
        self._sending = PeriodicTask("trace-sender", self._send, _INTERVAL)

    def start(self) -> None:
        """Start the thread; once, after any fork."""
        self._sending.start()

    def offer(self, trace: Trace) -> bool:
        """Take a trace to be written soon; False, and counted, when it cannot be. Never waits."""
        try:
            packed = _encoder.encode(trace)
        except Exception:  # noqa: BLE001  such as an octet that is no text: the message is none the worse for it
            self._count(TraceEvent.DROPPED, 1)
            return False
        if len(packed) > LARGEST - len(_array_of(0)):
            self._otherwise(trace)
            return True
        if self._stopping or len(self._buffer) >= self._capacity:
            self._count(TraceEvent.DROPPED, 1)
            return False
        self._buffer.append(packed)
        return True

    def stop(self, timeout: float) -> bool:
        """Take no more, send what is there, and end the thread; False when that was not done in time: the rest is
        dropped, and counted."""
        self._stopping = True
        deadline = time.monotonic() + timeout
        if not self._sending.stop(timeout):
            return False
        self._send()
        while self._left() and time.monotonic() < deadline:
            time.sleep(_PAUSE)
            self._send()
        if left := self._left():
            self._count(TraceEvent.DROPPED, left)
        return not left

    def _send(self) -> None:
        """Send until there is nothing left, or no room for it."""
        while packet := self._packet or self._next_packet():
            self._packet = packet
            try:
                self._end.send(_array_of(len(packet)) + b"".join(packet), socket.MSG_DONTWAIT)
            except OSError:  # no room, or nobody there any more: tried again, and dropped in the end
                return
            self._packet = []

    def _left(self) -> int:
        return len(self._packet) + len(self._buffer)

    def _next_packet(self) -> list[bytes]:
        packet: list[bytes] = []
        room = LARGEST - len(_array_of(0))
        while self._buffer and len(packet) < _PACKET_TRACES and len(self._buffer[0]) <= room:
            packed = self._buffer.popleft()
            packet.append(packed)
            room -= len(packed)
        return packet


def _array_of(count: int) -> bytes:
    """What stands before so many values to make them an array (MessagePack's array 16)."""
    return b"\xdc" + count.to_bytes(2, "big")
