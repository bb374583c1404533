"""Whether a message would be handled now: asked by the process that answers Prometheus, and of nobody but the milter
itself.

It greets the milter at its own socket, as an MTA does: a worker that is there but does not work gives no answer, and
no worker has to be asked about another. Then a flag must be kept somewhere: in the queue, else in the spool. The
ledger is not asked, because mail passes without it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from stopit_core.daemon.http import Part
from stopit_core.daemon.milter_probe import connect, greet
from stopit_core.errors import Transient
from stopit_core.stores.queue import Queue
from stopit_core.stores.queue.spool import Spool

__all__ = ["look"]

_PATIENCE = 2.0
"""Seconds for each step of the greeting: the MTA would wait longer, but for a member that is long enough."""


def look(socket: str, queue: Queue, spool_dir: Path) -> Sequence[Part]:
    """What a message needs. `socket` is `milter.socket`. The spool is tried only where the queue does not answer: it
    costs a sync of the disk."""
    milter = Part(f"milter at {socket}", greet(partial(connect, socket, _PATIENCE)))
    away = _fault(queue.ping)
    if not away:
        return milter, Part("queue")
    full = _fault(partial(_try_spool, spool_dir))
    return milter, Part("queue", away, needed=bool(full)), Part("spool, in its place", full)


def _try_spool(directory: Path) -> None:
    """The milter makes the directory at first need."""
    if not directory.exists() and os.access(directory.parent, os.W_OK | os.X_OK):
        return
    Spool(directory).ping()


def _fault(attempt: Callable[[], None]) -> str:
    try:
        attempt()
    except Transient as error:
        return str(error)
    return ""
