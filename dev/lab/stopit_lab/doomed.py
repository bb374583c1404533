"""A notifier that kills itself (-9) at a named step: `python -m stopit_lab.doomed --config FILE --at STEP`.

It is the notifier itself with a probe, so the gap between two effects is hit exactly, each time. `--time N` lets the
first N - 1 such moments pass. Started again without this program, a notifier must bring everything to its one end.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from stopit_notifier.__main__ import run
from stopit_notifier.failpoints import Step

__all__ = ["command"]


@click.command()
@click.option("--config", type=click.Path(path_type=Path), required=True)
@click.option("--at", type=click.Choice([step.value for step in Step]), required=True)
@click.option("--time", type=click.IntRange(min=1), default=1)
def _main(config: Path, at: str, time: int) -> None:
    left = time

    def probe(step: Step) -> None:
        nonlocal left
        left -= step.value == at
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.exit(run(config, probe))


def command(config: Path, step: Step, time: int = 1) -> Sequence[str]:
    """The command line that starts a notifier which kills itself when it comes to `step` for the n-th time."""
    return [
        sys.executable,
        "-m",
        "stopit_lab.doomed",
        "--config",
        str(config),
        "--at",
        step.value,
        "--time",
        str(time),
    ]


if __name__ == "__main__":
    _main()
