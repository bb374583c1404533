"""A thread of Python's own, for what must not run in libmilter's.

libmilter serves a connection from whichever thread of its pool is free, and pymilter carries the interpreter's state
of that connection from one to the next. A C extension that asks Python which thread it is in (PyGILState_Ensure, as
lxml does while it reads HTML) is then given the state of another connection, or one that is no more: with twelve
connections that bring HTML the worker dies of it within seconds. So a message's content is read here.

One thread is enough: what it does is bound by the interpreter's lock anyway, and only a member's reply, mail to the
report address and answers get here at all.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ContentThread"]

T = TypeVar("T")


class ContentThread:
    """Does work in its own thread. Must be made after a worker was forked and has blocked libmilter's signals."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="content")
        self._executor.submit(threading.get_ident).result()  # it starts here, and not in a thread of libmilter's

    def run(self, work: Callable[[], T]) -> T:
        """What `work` returns, or raises. The caller waits."""
        return self._executor.submit(work).result()
