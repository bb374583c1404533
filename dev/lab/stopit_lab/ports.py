"""Spare TCP ports, each given to one process only.

They are below the kernel's ephemeral range, so that no outgoing connection takes one after it was found free and
before a server binds it. For the same reason, each process has its own block of ports: it holds an abstract UNIX
socket (unix(7)) with the block's name, which no second process of the network namespace can bind, and which
disappears with the process however it ends. A process goes round its block, so that the port of a stopped server is
the last to be given again.
"""

from __future__ import annotations

import os
import random
import socket
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["HOST", "spare_ports"]

HOST = "127.0.0.1"
_RANGE = range(15000, 32000)
_BLOCK = 250


def spare_ports(count: int) -> tuple[int, ...]:
    """Return this number of different ports on which nothing listens at HOST, and which no other process gets."""
    block = _block_of(os.getpid())
    found = tuple(islice(filter(_is_free, block.round()), count))
    if len(found) < count:
        raise OSError(f"no {count} free ports at {HOST} between {block.ports.start} and {block.ports.stop}")
    return found


class _Block:
    """The ports of one process, for its lifetime."""

    def __init__(self, ports: range) -> None:
        self.ports = ports
        self._next = 0

    def round(self) -> Iterator[int]:
        """Yield each of its ports once, beginning after the last one taken."""
        for _ in self.ports:
            port = self.ports[self._next]
            self._next = (self._next + 1) % len(self.ports)
            yield port


@cache
def _block_of(pid: int) -> _Block:
    """Return the block of a process. It is cached by process id, so that a forked process takes its own block."""
    starts = list(_RANGE[::_BLOCK])
    random.SystemRandom().shuffle(starts)
    for start in starts:
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            claim.bind(f"\0stopit-lab-ports-{start}")
        except OSError:
            claim.close()
            continue
        claim.detach()  # open until the process ends
        return _Block(range(start, start + _BLOCK))
    raise OSError(f"process {pid}: all {len(starts)} blocks of ports from {_RANGE.start} to {_RANGE.stop} are taken")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
