"""A thread made by Python, for work that must not run in a thread of libmilter.

libmilter serves a connection from any free thread of its pool, and pymilter carries the interpreter's state of that
connection from one thread to the next. A C extension that asks Python for the current thread (PyGILState_Ensure, as
lxml does while it parses HTML) then gets the state of another connection, or freed memory: with twelve connections
that bring HTML the worker crashes within seconds. So the content of messages is parsed in this thread.

One thread is enough: the work holds the interpreter's lock anyway, and only members' replies and mail to the report
address need it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ContentThread"]

T = TypeVar("T")


class ContentThread:
    """One thread that runs work. Must be made after the fork, and after libmilter's signals were blocked."""

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="content")
        self._executor.submit(threading.get_ident).result()  # start it here, and not from a thread of libmilter

    def run(self, work: Callable[[], T]) -> T:
        """Run `work` and wait for it. Return what it returns, or raise what it raises."""
        return self._executor.submit(work).result()
