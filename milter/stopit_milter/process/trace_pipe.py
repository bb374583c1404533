"""The pipe that carries traces from the workers to the trace writer.

    worker:  offer -> packed -> buffer (bounded) -+
    worker:  offer -> packed -> buffer (bounded) -+-> [socket] -> received: the trace writer

Writing traces blocks the interpreter, and in a worker every message would wait for it (docs/adr/0016). With the pipe,
a trace costs a worker no more than the packing.

The parent makes one pair of sockets before it forks, and keeps both ends: what is sent while the trace writer is dead
waits in the kernel for the next one. The packets are sequenced (unix(7)): they stay whole although all workers send
at one end, and the stream ends when the last process closes that end. No other process can write to it, so the data
needs neither a version nor a check.
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
"""Size of the largest packet, in octets. Every kernel takes it. A trace has 8 octets for each recipient."""
_PACKET_TRACES = 64
_BUFFER_BYTES = 4 * 1024 * 1024
"""Socket buffer to ask for, in octets. The kernel gives no more than net.core.wmem_max."""
_CAPACITY = 20_000
_INTERVAL = 0.05
_PAUSE = 0.01

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[list[Trace]] = msgspec.msgpack.Decoder(list[Trace])


class TracePipe:
    """The pair of sockets. Each child keeps the end that it uses, and closes the other."""

    def __init__(self) -> None:
        self._sending_end, self._receiving_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._sending_end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)

    def sender(self) -> socket.socket:
        """In a worker, after the fork: return the end for its TraceSender."""
        self._receiving_end.close()
        return self._sending_end

    def received(self) -> Iterator[list[Trace]]:
        """In the trace writer, after the fork: yield what arrives, until no process is left that could send."""
        self._sending_end.close()
        room = bytearray(LARGEST)
        while size := self._receiving_end.recv_into(room):
            yield _decoder.decode(memoryview(room)[:size])

    def close(self) -> None:
        """Close both ends: in the parent when it will not fork again, and in a child that uses neither."""
        self._sending_end.close()
        self._receiving_end.close()


class TraceSender:
    """Sends a worker's traces to the trace writer: one thread that sends, at intervals, what was offered.

    `offer` takes no lock and wakes no thread. When the buffer is full, because the trace writer received nothing for
    many seconds, the trace is dropped and counted by `count`. A trace too large for a packet goes to `otherwise`.
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
        """The next packet, when it could not be sent yet. Only the thread uses it."""
        self._stopping = False
        self._sending = PeriodicTask("trace-sender", self._send, _INTERVAL)

    def start(self) -> None:
        """Start the thread. Call it once, and after the fork."""
        self._sending.start()

    def offer(self, trace: Trace) -> bool:
        """Take a trace to be written soon; never wait. Return False, and count it, when it is dropped."""
        try:
            packed = _encoder.encode(trace)
        except Exception:  # noqa: BLE001  such as an octet that is no text; the message must not suffer
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
        """Take no more traces, send those in the buffer, and end the thread.

        Return False when that takes over `timeout` seconds; the rest is dropped and counted.
        """
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
        """Send until the buffer is empty or the socket is full."""
        while packet := self._packet or self._next_packet():
            self._packet = packet
            try:
                self._end.send(_array_of(len(packet)) + b"".join(packet), socket.MSG_DONTWAIT)
            except OSError:  # the socket is full or closed: tried again, and dropped in the end
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
    """Return the header of an array of `count` values (MessagePack's array 16)."""
    return b"\xdc" + count.to_bytes(2, "big")
