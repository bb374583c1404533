"""A notifier that kills itself: `mortal_notifier.py CONFIG STEP PASSES`. Started by test_crash.py as a process."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from stopit_notifier.__main__ import run
from stopit_notifier.failpoints import Probe, Step


def mortal(fatal: Step, passes: int) -> Probe:
    """A probe that kills this process at its `passes`-th pass of the fatal step."""
    left = passes
    lock = threading.Lock()  # letters go out in several threads

    def probe(step: Step) -> None:
        nonlocal left
        with lock:
            left -= step is fatal
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return probe


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), mortal(Step(sys.argv[2]), int(sys.argv[3]))))
