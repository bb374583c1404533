"""Spare TCP ports. They are taken below the kernel's ephemeral range, so that no outgoing connection gets one between
the moment it is found free and the moment a server binds it."""

from __future__ import annotations

import random
import socket

__all__ = ["HOST", "spare_ports"]

HOST = "127.0.0.1"
_RANGE = range(15000, 32000)
_TRIES = 200


def spare_ports(count: int) -> tuple[int, ...]:
    """So many different ports that nobody listens on at HOST now."""
    found: list[int] = []
    for port in random.SystemRandom().sample(_RANGE, _TRIES):
        if len(found) == count:
            break
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        found.append(port)
    if len(found) < count:
        raise OSError(f"no {count} free ports at {HOST} between {_RANGE.start} and {_RANGE.stop}")
    return tuple(found)
