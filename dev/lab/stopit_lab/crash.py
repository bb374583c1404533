"""A notifier that kills itself (SIGKILL) at a failpoint, so that a chosen gap between two effects is hit each time.

    notifier = ForkedNotifier("crashing", site.config, site.directory, Failpoint.BEFORE_DOT, passes=2)

It dies at the second pass of the failpoint. A notifier that is started after it must complete all the work.

Each is a process of its own, forked from one that has imported the notifier, because the import takes longer than the
work in most tests.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from stopit_lab.daemons import Daemon, Process
from stopit_notifier.__main__ import run
from stopit_notifier.failpoints import Failpoint, FailpointHook, no_failpoint

__all__ = ["ForkedNotifier"]

_fork_server = multiprocessing.get_context("forkserver")
_fork_server.set_forkserver_preload([__name__])


class ForkedNotifier(Daemon):
    """A notifier that dies at the n-th pass of a failpoint. Without one, it serves as stopit-notifier does."""

    def __init__(
        self, name: str, config: Path, directory: Path, failpoint: Failpoint | None = None, passes: int = 1
    ) -> None:
        super().__init__(name, (), directory)
        self._config = config
        self._failpoint = failpoint
        self._passes = passes

    def _spawn(self, environ: Mapping[str, str]) -> Process:
        arguments = (self._config, self.log, dict(environ), self._failpoint, self._passes)
        process = _fork_server.Process(target=_serve, args=arguments)
        process.start()
        return _Forked(process)


class _Forked:
    """A forked process as a `Process`."""

    def __init__(self, process: multiprocessing.context.ForkServerProcess) -> None:
        self._process = process
        assert process.pid is not None
        self.pid = process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired("notifier", timeout or 0.0)
        return code

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


def _serve(config: Path, log: Path, environ: Mapping[str, str], failpoint: Failpoint | None, passes: int) -> None:
    os.setsid()
    with log.open("ab") as output:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(output.fileno(), stream.fileno())
    os.environ.clear()
    os.environ.update(environ)
    sys.exit(run(config, _killer(failpoint, passes) if failpoint else no_failpoint))


def _killer(fatal: Failpoint, passes: int) -> FailpointHook:
    left = passes
    lock = threading.Lock()  # the messages of a batch are sent by several threads

    def hook(failpoint: Failpoint) -> None:
        nonlocal left
        with lock:
            left -= failpoint is fatal
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return hook
