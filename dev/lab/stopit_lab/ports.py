"""Spare TCP ports, each handed out to one process only.

They are taken below the kernel's ephemeral range, so that no outgoing connection gets one between the moment it is
found free and the moment a server binds it. For the same moment each process has a block of ports to itself: it holds
an abstract UNIX socket (unix(7)) of that block's name, which no second process of the network namespace can bind, and
which is gone with the process however it ends. Inside its block a process goes round, so that the port of a server
that is stopped for a while is the last to be handed out again.
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
    """So many different ports that nobody listens on at HOST now, and that no other process is given."""
    block = _block_of(os.getpid())
    found = tuple(islice(filter(_is_free, block.round()), count))
    if len(found) < count:
        raise OSError(f"no {count} free ports at {HOST} between {block.ports.start} and {block.ports.stop}")
    return found


class _Block:
    """The ports of one process, for as long as it lives."""

    def __init__(self, ports: range) -> None:
        self.ports = ports
        self._next = 0

    def round(self) -> Iterator[int]:
        """Each of its ports once, from the one after the last that was taken."""
        for _ in self.ports:
            port = self.ports[self._next]
            self._next = (self._next + 1) % len(self.ports)
            yield port


@cache
def _block_of(pid: int) -> _Block:
    """The block of a process. By its id, so that one that was forked takes a block of its own."""
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
