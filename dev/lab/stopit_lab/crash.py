"""A notifier that kills itself (SIGKILL) at a failpoint: `python -m stopit_lab.crash --config FILE --at FAILPOINT`.

It is the notifier with a failpoint hook, so that a chosen gap between two effects is hit each time. With `--pass N`
it dies at the N-th pass of the failpoint. A notifier that is started after it must complete all the work.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import click

from stopit_notifier.__main__ import run
from stopit_notifier.failpoints import Failpoint, FailpointHook

__all__ = ["command"]


@click.command()
@click.option("--config", type=click.Path(path_type=Path), required=True)
@click.option("--at", type=click.Choice([failpoint.value for failpoint in Failpoint]), required=True)
@click.option("--pass", "passes", type=click.IntRange(min=1), default=1)
def _main(config: Path, at: str, passes: int) -> None:
    sys.exit(run(config, _killer(Failpoint(at), passes)))


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


def command(config: Path, failpoint: Failpoint, passes: int = 1) -> Sequence[str]:
    """Return the command line of a notifier that kills itself at the n-th pass of a failpoint."""
    module = [sys.executable, "-m", "stopit_lab.crash"]
    return [*module, "--config", str(config), "--at", failpoint.value, "--pass", str(passes)]


if __name__ == "__main__":
    _main()
