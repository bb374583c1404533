"""A notifier that kills itself: `mortal_notifier.py CONFIG STEP PASSES`. Started by test_crash.py as a process."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from stopit_notifier.__main__ import run
from stopit_notifier.failpoints import Failpoint, FailpointHook


def mortal(fatal: Failpoint, passes: int) -> FailpointHook:
    """A failpoint that kills this process at its `passes`-th pass of the fatal failpoint."""
    left = passes
    lock = threading.Lock()  # messages go out in several threads

    def failpoint(failpoint: Failpoint) -> None:
        nonlocal left
        with lock:
            left -= failpoint is fatal
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return failpoint


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), mortal(Failpoint(sys.argv[2]), int(sys.argv[3]))))
