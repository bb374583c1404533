"""TCP to a host in another network namespace: a socket belongs to the namespace in which it was made.

The calling thread alone enters the other namespace, connects, and returns (setns(2)); the socket stays connected to
the other side. So the tests need no address, bridge or proxy.
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
    """Open a TCP connection in the namespace of process `pid`. Needs root. Raises OSError."""
    own, other = Path("/proc/thread-self/ns/net"), Path(f"/proc/{pid}/ns/net")
    with ExitStack() as stack:
        back = os.open(own, os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, back)
        there = os.open(other, os.O_RDONLY | os.O_CLOEXEC)
        stack.callback(os.close, there)
        _enter(there)
        try:
            with ExitStack() as made:
                connection = made.enter_context(closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)))
                connection.settimeout(timeout)
                connection.connect((host, port))
                made.pop_all()  # owned by the caller from here
        finally:
            _enter(back)
    return connection


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(_LIBC, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")
