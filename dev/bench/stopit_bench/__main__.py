"""./run bench: measure, print one table, and keep the results.

Without `--only` the results go to dev/bench/results: quick.json after `--quick`, else results.json, and from that the
chart and the tables of docs/performance.md are made. With `--only` nothing is kept unless `--output FILE` says where;
there, the new parts take the place of the old ones. Exit code: 1 when a part could not be measured, or when `--check`
found a ratio that got worse. A missed target is no failure.
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
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import click

from stopit_bench import keeping
from stopit_bench.bench import Bench, PartPlan
from stopit_bench.effort import Effort, Sizes, sizes_of
from stopit_bench.machine import this_machine
from stopit_bench.plan import chosen, plans
from stopit_bench.record import Part, Results
from stopit_bench.regression import changes
from stopit_bench.table import text
from stopit_bench.tools import Tools
from stopit_lab.waiting import TooLate

__all__ = ["main"]


@dataclass(frozen=True)
class _Order:
    """What is to be measured, and where it goes."""

    effort: Effort
    plans: tuple[PartPlan, ...]
    sizes: Sizes
    rounds: int | None
    output: Path | None


@click.command(name="./run bench")
@click.option("--quick", "effort", flag_value=Effort.QUICK, type=Effort, help="The main rows, in under a minute.")
@click.option("--full", "effort", flag_value=Effort.FULL, type=Effort, help="Everything, also what takes hours.")
@click.option("--only", multiple=True, metavar="NAME", help="This part alone; may be given several times.")
@click.option("--rounds", type=click.IntRange(min=1), help="So many rounds in place of the effort's own.")
@click.option("--output", type=click.Path(path_type=Path), metavar="FILE", help="Keep the results in this file.")
@click.option(
    "--check",
    type=click.Path(path_type=Path, exists=True),
    metavar="FILE",
    help="Measure, and compare the ratios with those in this file.",
)
@click.option("--tolerance", type=float, default=0.1, show_default=True, help="How much worse --check lets one be.")
@click.option("--document", is_flag=True, help="Measure nothing; make chart and docs/performance.md of the results.")
@click.option("--list", "listing", is_flag=True, help="Measure nothing; name the parts.")
def _command(
    effort: Effort | None,
    only: tuple[str, ...],
    rounds: int | None,
    output: Path | None,
    check: Path | None,
    tolerance: float,
    document: bool,
    listing: bool,
) -> None:
    """Measure Stopit against a C filter that does nothing, side by side; print ratios and targets."""
    if listing:
        for plan in plans():
            click.echo(f"{plan.name:12} {plan.title}")
        return
    try:
        if document:
            _document()
            return
        known = keeping.read(check) if check else None
        order = _ordered(effort or Effort.NORMAL, only, rounds, output)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    if os.geteuid() != 0:
        raise click.ClickException("servers are started, and only root may do that: call ./run bench")
    signal.signal(signal.SIGTERM, _leave)
    results = _measured(order)
    click.echo(text(results), nl=False)
    worse = _compared(known, results, tolerance) if known else False
    sys.exit(1 if worse or len(results.parts) < len(order.plans) else 0)


def main() -> None:
    """The program."""
    _command.main(prog_name="./run bench")


def _ordered(effort: Effort, only: tuple[str, ...], rounds: int | None, output: Path | None) -> _Order:
    if output is None and not only:
        output = keeping.default_output(effort)
    return _Order(effort, chosen(only, quick=effort is Effort.QUICK), sizes_of(effort, rounds), rounds, output)


def _measured(order: _Order) -> Results:
    """Measure part after part; each is kept as soon as it is there. One that fails is told, and left out."""
    machine = this_machine()
    parts: list[Part] = []
    with _directory() as directory:
        bench = Bench(order.effort, order.sizes, Tools.build(directory), directory, _say)
        for plan in order.plans:
            click.echo(f"==> {plan.name}: {plan.title}", err=True)
            try:
                part = _part(plan, bench, order.rounds)
                if order.output is not None:
                    keeping.keep(Results(machine, (part,)), order.output)
            except (RuntimeError, TooLate, OSError, ValueError) as error:
                click.echo(f"run bench: {plan.name} failed: {error}", err=True)
                continue
            parts.append(part)
    return Results(machine, tuple(parts))


def _part(plan: PartPlan, bench: Bench, rounds: int | None) -> Part:
    found = plan.measure(bench)
    words = ["./run", "bench", *({Effort.QUICK: ["--quick"], Effort.FULL: ["--full"]}.get(bench.effort, []))]
    more = [] if rounds is None else ["--rounds", str(rounds)]
    return Part(
        name=plan.name,
        title=plan.title,
        command=shlex.join([*words, "--only", plan.name, *more]),
        made=datetime.datetime.now(datetime.UTC).date().isoformat(),
        effort=bench.effort,
        figures=found.figures,
        series=found.series,
        curves=found.curves,
        notes=found.notes,
    )


def _compared(known: Results, results: Results, tolerance: float) -> bool:
    """Print how each ratio changed; whether one got worse by more than is tolerated."""
    found = changes(known, results)
    if not found:
        click.echo("\nNothing to compare: the file has none of these figures.")
        return True
    click.echo("\nAgainst the kept results (share by which it got worse; below 0 is better):")
    for each in found:
        mark = "WORSE" if each.beyond(tolerance) else ""
        click.echo(f"  {each.figure}: {each.old:.3g} -> {each.new:.3g}  {each.worse_by:+.1%}  {mark}".rstrip())
    return any(each.beyond(tolerance) for each in found)


def _document() -> None:
    try:
        written = keeping.document()
    except ModuleNotFoundError as error:
        raise click.ClickException(f"{error}; ./run bench --document installs what is missing") from error
    for path in written:
        click.echo(f"written: {path}")


@contextmanager
def _directory() -> Iterator[Path]:
    """A directory for everything that is started; it is removed with what killed daemons left in it."""
    directory = Path(tempfile.mkdtemp(prefix="stopit-bench-"))
    directory.chmod(0o755)  # Postfix's own users must be able to pass
    os.environ["TMPDIR"] = str(directory)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _say(what: str) -> None:
    click.echo(f"    {what}", err=True)


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(143)


if __name__ == "__main__":
    main()
