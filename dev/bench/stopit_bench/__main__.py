"""./run bench: measure, print tables of ratios and targets, and write the results file.

A run of all parts writes dev/bench/results/results.json. `--quick` and `--only` write nothing without `--output
FILE`. Exit code: 1 if a part could not be measured. A missed target is no failure.
"""

from __future__ import annotations

import datetime
import os
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import click

from stopit_bench import storage
from stopit_bench.bench import Bench, PartPlan
from stopit_bench.machine import this_machine
from stopit_bench.plan import chosen, plans
from stopit_bench.profile import Profile, sizes_of
from stopit_bench.record import Part, Results
from stopit_bench.table import text
from stopit_bench.tools import Tools
from stopit_lab.waiting import TooLate

__all__ = ["main"]


@click.command(name="./run bench")
@click.option("--quick", "profile", flag_value=Profile.QUICK, type=Profile, help="The main rows, in under a minute.")
@click.option("--full", "profile", flag_value=Profile.FULL, type=Profile, help="Everything; takes hours.")
@click.option("--only", multiple=True, metavar="NAME", help="Measure this part only. May be repeated.")
@click.option("--rounds", type=click.IntRange(min=1), help="Number of rounds, instead of the profile's.")
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Write the results to this file.")
@click.option("--document", is_flag=True, help="Measure nothing; make the chart and docs/performance.md's tables.")
@click.option("--list", "listing", is_flag=True, help="Measure nothing; list the parts.")
def _command(
    profile: Profile | None,
    only: tuple[str, ...],
    rounds: int | None,
    output: Path | None,
    document: bool,
    listing: bool,
) -> None:
    """Measure Stopit against a C filter that does nothing, in the same run; print ratios and targets."""
    if listing:
        for plan in plans():
            click.echo(f"{plan.name:12} {plan.title}")
        return
    if document:
        for path in storage.document():
            click.echo(f"written: {path}")
        return
    profile = profile or Profile.NORMAL
    try:
        parts = chosen(only, quick=profile is Profile.QUICK)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    if os.geteuid() != 0:
        raise click.ClickException("only root can start the servers: call ./run bench")
    if output is None and not only and profile is not Profile.QUICK:
        output = storage.RESULTS
    signal.signal(signal.SIGTERM, _exit)
    results = _measured(parts, profile, rounds, output)
    click.echo(text(results), nl=False)
    sys.exit(1 if len(results.parts) < len(parts) else 0)


def main() -> None:
    """Run the program."""
    _command.main(prog_name="./run bench")


def _measured(plans: tuple[PartPlan, ...], profile: Profile, rounds: int | None, output: Path | None) -> Results:
    """Measure the parts. Each is written as soon as it is measured. One that fails is reported and left out."""
    results = Results(this_machine(), ())
    with _directory() as directory:
        bench = Bench(profile, sizes_of(profile, rounds), Tools.build(directory), directory, _say)
        for plan in plans:
            click.echo(f"==> {plan.name}: {plan.title}", err=True)
            try:
                part = _part(plan, bench, rounds)
            except (RuntimeError, TooLate, OSError, ValueError) as error:
                click.echo(f"run bench: {plan.name} failed: {error}", err=True)
                continue
            results = Results(results.machine, (*results.parts, part))
            if output is not None:
                storage.write(results, output)
    return results


def _part(plan: PartPlan, bench: Bench, rounds: int | None) -> Part:
    found = plan.measure(bench)
    words = ["./run", "bench", *({Profile.QUICK: ["--quick"], Profile.FULL: ["--full"]}.get(bench.profile, []))]
    more = [] if rounds is None else ["--rounds", str(rounds)]
    return Part(
        name=plan.name,
        title=plan.title,
        command=shlex.join([*words, "--only", plan.name, *more]),
        made=datetime.datetime.now(datetime.UTC).date().isoformat(),
        figures=found.figures,
        series=found.series,
        curves=found.curves,
        notes=found.notes,
    )


@contextmanager
def _directory() -> Iterator[Path]:
    """Make a directory for all servers, and remove it with everything that killed daemons left in it."""
    directory = Path(tempfile.mkdtemp(prefix="stopit-bench-"))
    directory.chmod(0o755)  # the users of Postfix need access
    os.environ["TMPDIR"] = str(directory)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _say(progress: str) -> None:
    click.echo(f"    {progress}", err=True)


def _exit(_number: int, _frame: FrameType | None) -> None:
    sys.exit(143)


if __name__ == "__main__":
    main()
