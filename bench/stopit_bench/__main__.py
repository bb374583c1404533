"""./run bench: measure, print one table, and keep the results.

Without `--only` the results go to bench/results (quick.json after `--quick`, else results.json with the chart). With
`--only` nothing is kept unless `--output FILE` says where; there, the new parts take the place of the old ones.
"""

from __future__ import annotations

import datetime
import os
import shlex
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType

import click

from stopit_bench.bench import Bench, PartPlan
from stopit_bench.effort import Effort, Sizes, sizes_of
from stopit_bench.machine import this_machine
from stopit_bench.plan import chosen, plans
from stopit_bench.record import Part, Results, from_json, merged, to_json
from stopit_bench.table import text
from stopit_bench.tools import Tools

__all__ = ["main"]

_RESULTS = Path(__file__).parents[1] / "results"


@click.command(name="./run bench")
@click.option("--quick", "effort", flag_value=Effort.QUICK, help="The main rows, in less than a minute.")
@click.option("--full", "effort", flag_value=Effort.FULL, help="Everything, also what takes hours.")
@click.option("--only", multiple=True, metavar="NAME", help="This part alone; may be given several times.")
@click.option("--rounds", type=click.IntRange(min=1), help="So many rounds in place of the effort's own.")
@click.option("--output", type=click.Path(path_type=Path), help="Keep the results in this file.")
@click.option("--list", "listing", is_flag=True, help="Name the parts, and measure nothing.")
def _command(
    effort: Effort | None, only: tuple[str, ...], rounds: int | None, output: Path | None, listing: bool
) -> None:
    """Measure Stopit against a C filter that does nothing, side by side; print ratios and targets."""
    if listing:
        for plan in plans():
            click.echo(f"{plan.name:12} {plan.title}")
        return
    if os.geteuid() != 0:
        raise click.ClickException("servers are started, and only root may do that: call ./run bench")
    effort = effort or Effort.NORMAL
    try:
        todo = chosen(only, quick=effort is Effort.QUICK)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--only") from error
    signal.signal(signal.SIGTERM, _leave)
    results = _measured(todo, effort, sizes_of(effort, rounds))
    click.echo(text(results), nl=False)
    if output is None and not only:
        output = _RESULTS / ("quick.json" if effort is Effort.QUICK else "results.json")
    if output is not None:
        _keep(results, output)


def main() -> None:
    """The program."""
    _command.main(prog_name="./run bench")


def _measured(todo: tuple[PartPlan, ...], effort: Effort, sizes: Sizes) -> Results:
    # Postfix's own users must be able to pass.
    directory = Path(tempfile.mkdtemp(prefix="stopit-bench-"))
    directory.chmod(0o755)
    os.environ["TMPDIR"] = str(directory)  # what daemons leave that are killed goes with it
    try:
        bench = Bench(effort, sizes, Tools.build(directory), directory, _say)
        return Results(this_machine(), tuple(_part(plan, bench) for plan in todo))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _say(what: str) -> None:
    click.echo(f"    {what}", err=True)


def _part(plan: PartPlan, bench: Bench) -> Part:
    click.echo(f"==> {plan.name}: {plan.title}", err=True)
    found = plan.measure(bench)
    words = ["./run", "bench", *({Effort.QUICK: ["--quick"], Effort.FULL: ["--full"]}.get(bench.effort, []))]
    return Part(
        name=plan.name,
        title=plan.title,
        command=shlex.join([*words, "--only", plan.name]),
        made=datetime.datetime.now(datetime.UTC).date().isoformat(),
        effort=bench.effort,
        figures=found.figures,
        series=found.series,
        curves=found.curves,
        notes=found.notes,
    )


def _keep(results: Results, output: Path) -> None:
    """Write the results; parts that the file has and these have not are kept."""
    if output.exists():
        results = merged(from_json(output.read_bytes()), results)
    output.parent.mkdir(exist_ok=True)
    output.write_bytes(to_json(results))
    _to_owner_of_tree(output.parent, output)


def _to_owner_of_tree(*paths: Path) -> None:
    """Nothing that root writes may stay root's in the tree of the person who called by sudo."""
    owner = _RESULTS.parent.stat()
    for path in paths:
        os.chown(path, owner.st_uid, owner.st_gid)


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(143)


if __name__ == "__main__":
    main()
