"""TCP to a host that has a network namespace of its own: a socket belongs to the namespace that it was made in.

So the calling thread, and it alone, steps into the other namespace, connects, and steps back (setns(2)); the socket
goes on speaking to the other side. Whoever tests keeps its own network, and needs no address, bridge or proxy.
"""

from __future__ import annotations

import ctypes
import os
import socket
from contextlib import ExitStack, closing
from pathlib import Path

__all__ = ["connect"]

_CLONE_NEWNET = 0x40000000
_LIBC = "libc.so.6"


def connect(pid: int, host: str, port: int, timeout: float = 30.0) -> socket.socket:
    """A TCP connection made where process `pid` lives. Must be called by root. Raises OSError."""
    own, other = Path("/proc/thread-self/ns/net"), Path(f"/proc/{pid}/ns/net")
    with ExitStack() as stack:
        back = os.open(own, os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, back)
        there = os.open(other, os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, there)
        _enter(there)
        try:
            with ExitStack() as made:
                door = made.enter_context(closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)))
                door.settimeout(timeout)
                door.connect((host, port))
                made.pop_all()  # it is the caller's now
        finally:
            _enter(back)
    return door


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(_LIBC, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")
