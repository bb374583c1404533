"""The first step of the milter protocol, by which anybody can tell whether a milter answers at a socket.

SMFIC_OPTNEG ("O", then version, actions and protocol as 32-bit words, all behind a 32-bit length) is answered in
kind (sendmail's libmilter, include/libmilter/mfdef.h). A milter that says it has a thread that does its work: only
connecting would tell no more than that the kernel took the connection for it.
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
    """A connection to "unix:/path" or "inet:port@host". Raises OSError."""
    kind, _, place = url.partition(":")
    if kind == "unix":
        return connect_unix(Path(place), timeout)
    port, _, host = place.partition("@")
    return socket.create_connection((host.strip("[]"), int(port)), timeout)


def connect_unix(path: Path, timeout: float) -> socket.socket:
    """A connection to a Unix socket. Raises OSError."""
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        door.settimeout(timeout)
        door.connect(str(path))
    except BaseException:
        door.close()
        raise
    return door


def greet(connected: Callable[[], socket.socket]) -> str:
    """Speak the first step, and take leave. "" when a milter answers, else what is wrong."""
    try:
        with closing(connected()) as door:
            door.sendall(struct.pack(">IcIII", 13, _OPTNEG, _VERSION, _ACTIONS, _STEPS))
            length = struct.unpack(">I", _exactly(door, 4))[0]
            if not 13 <= length <= _LONGEST:
                return "something answers, but not as a milter"
            answer = _exactly(door, length)
            with suppress(OSError):  # it may have gone; what it said is what counts
                door.sendall(_QUIT)
    except EOFError:
        return "something took the connection and closed it again without an answer"
    except OSError as error:
        return error.strerror or str(error)
    if answer[:1] != _OPTNEG or not 2 <= struct.unpack(">I", answer[1:5])[0] <= _VERSION:
        return "something answers, but not as a milter"
    return ""


def _exactly(door: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = door.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data
