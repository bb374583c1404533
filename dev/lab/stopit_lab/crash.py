"""A notifier that kills itself (-9) at a named failpoint: `python -m stopit_lab.crash --config FILE --at STEP`.

It is the notifier itself with a failpoint, so the gap between two effects is hit exactly, each time. `--time N` lets
the first N - 1 such moments pass. Started again without this program, a notifier must bring everything to its one
end.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from stopit_notifier.__main__ import run
from stopit_notifier.failpoints import Failpoint

__all__ = ["command"]


@click.command()
@click.option("--config", type=click.Path(path_type=Path), required=True)
@click.option("--at", type=click.Choice([failpoint.value for failpoint in Failpoint]), required=True)
@click.option("--time", type=click.IntRange(min=1), default=1)
def _main(config: Path, at: str, time: int) -> None:
    left = time

    def failpoint(failpoint: Failpoint) -> None:
        nonlocal left
        left -= failpoint.value == at
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.exit(run(config, failpoint))


def command(config: Path, failpoint: Failpoint, time: int = 1) -> Sequence[str]:
    """The command line that starts a notifier which kills itself when it comes to `failpoint` for the n-th time."""
    return [
        sys.executable,
        "-m",
        "stopit_lab.crash",
        "--config",
        str(config),
        "--at",
        failpoint.value,
        "--time",
        str(time),
    ]


if __name__ == "__main__":
    _main()
