"""The first step of the milter protocol, which tells whether a milter answers at a socket.

A milter answers SMFIC_OPTNEG ("O", then version, actions and protocol as 32-bit words, all after a 32-bit length)
with the same command (sendmail's libmilter, include/libmilter/mfdef.h). The answer shows that one of its threads
works; a successful connect alone shows only that the kernel accepted the connection.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

__all__ = ["connect", "connect_unix", "greet"]

_OPTNEG = b"O"
_VERSION = 6
_ACTIONS = 0x1FF
_STEPS = 0x1FFFFF
_QUIT = struct.pack(">Ic", 1, b"Q")
_LONGEST = 64 * 1024


def connect(url: str, timeout: float) -> socket.socket:
    """Return a connection to "unix:/path" or "inet:port@host". Raises OSError."""
    kind, _, place = url.partition(":")
    if kind == "unix":
        return connect_unix(Path(place), timeout)
    port, _, host = place.partition("@")
    return socket.create_connection((host.strip("[]"), int(port)), timeout)


def connect_unix(path: Path, timeout: float) -> socket.socket:
    """Return a connection to a Unix socket. Raises OSError."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(str(path))
    except BaseException:
        connection.close()
        raise
    return connection


def greet(connect_to: Callable[[], socket.socket]) -> str:
    """Negotiate options and quit. Return "" if a milter answers, else what is wrong."""
    try:
        with closing(connect_to()) as connection:
            connection.sendall(struct.pack(">IcIII", 13, _OPTNEG, _VERSION, _ACTIONS, _STEPS))
            length = struct.unpack(">I", _receive_exactly(connection, 4))[0]
            if not 13 <= length <= _LONGEST:
                return "something answers, but not as a milter"
            answer = _receive_exactly(connection, length)
            with suppress(OSError):  # it may have closed the connection; its answer is enough
                connection.sendall(_QUIT)
    except EOFError:
        return "the connection was accepted and closed without an answer"
    except OSError as error:
        return error.strerror or str(error)
    if answer[:1] != _OPTNEG or not 2 <= struct.unpack(">I", answer[1:5])[0] <= _VERSION:
        return "something answers, but not as a milter"
    return ""


def _receive_exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data
