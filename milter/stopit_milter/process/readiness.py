"""The readiness check of the milter: would a message be handled now? Used by the process that serves the metrics.

It connects to the milter socket as an MTA does, and negotiates: a worker that hangs does not answer. Then a report
must find a place: in the queue, else in the spool. The ledger is not checked, because mail passes without it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from stopit_core.daemon.http import CheckResult
from stopit_core.daemon.milter_probe import connect, greet
from stopit_core.errors import Transient
from stopit_core.stores.queue import Queue
from stopit_core.stores.queue.spool import Spool

__all__ = ["check"]

_PATIENCE = 2.0
"""Timeout of each step, in seconds. An MTA waits longer, but a member should not have to."""


def check(socket: str, queue: Queue, spool_dir: Path) -> Sequence[CheckResult]:
    """Check what a message needs. `socket` is `milter.socket`.

    The spool is tried only where the queue does not answer, because that costs a sync of the disk.
    """
    milter = CheckResult(f"milter at {socket}", greet(partial(connect, socket, _PATIENCE)))
    fault = _fault(queue.ping)
    if not fault:
        return milter, CheckResult("queue")
    spool_fault = _fault(partial(_try_spool, spool_dir))
    return (
        milter,
        CheckResult("queue", fault, needed=bool(spool_fault)),
        CheckResult("spool, in its place", spool_fault),
    )


def _try_spool(directory: Path) -> None:
    """Write to the spool. A missing directory is no fault where the milter can make it. Raises Transient."""
    if not directory.exists() and os.access(directory.parent, os.W_OK | os.X_OK):
        return
    Spool(directory).ping()


def _fault(attempt: Callable[[], None]) -> str:
    try:
        attempt()
    except Transient as error:
        return str(error)
    return ""
