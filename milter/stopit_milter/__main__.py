"""stopit-milter: the milter, as the service manager runs it.

    parent                  opens the socket, forks, supervises, reloads
      |-- worker 0 .. N-1   sessions -> dispositions -> reports (queue, spool) and traces (trace pipe)
      |-- writer            trace pipe -> ledger
      `-- metrics           serves /metrics and /readyz

Exit code 0 after SIGTERM, 1 when it could not start, 78 (EX_CONFIG) when the configuration is faulty. SIGHUP reloads
the configuration.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click

from stopit_core import __version__
from stopit_core.config import config_path
from stopit_core.daemon.logs import Log, open_log
from stopit_core.daemon.systemd import Notify, log_warnings
from stopit_core.errors import ConfigError
from stopit_milter.listener import Listener, ListenerError
from stopit_milter.process.control import ChildControl
from stopit_milter.process.reload import MilterConfiguration
from stopit_milter.process.supervisor import Role, Supervisor
from stopit_milter.process.trace_pipe import TracePipe
from stopit_milter.process.trace_writer import run_writer
from stopit_milter.process.worker import run_metrics, run_worker

__all__ = ["main", "serve"]

_PROGRAM = "stopit-milter"
_FAILED = 1
_FAULTY_CONFIGURATION = 78  # EX_CONFIG of sysexits.h


@click.command(name=_PROGRAM)
@click.option(
    "--config", type=click.Path(path_type=Path), help="The file; else $STOPIT_CONFIG, else the one in /etc."
)
@click.version_option(__version__, prog_name=_PROGRAM)
def command(config: Path | None) -> None:
    """Trace the mail that passes, make reports of flags, and withhold flagging replies from their recipients."""
    try:
        configuration = MilterConfiguration.read(config_path(config))
    except ConfigError as error:
        for fault in error.faults:
            click.echo(str(fault), err=True)
        sys.exit(_FAULTY_CONFIGURATION)
    log = open_log(_PROGRAM)
    log_warnings(configuration.settings, log)
    sys.exit(serve(configuration, log, os.environ))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the program. `argv` stands in for the arguments of the command line."""
    command.main(args=argv, prog_name=_PROGRAM)


def serve(configuration: MilterConfiguration, log: Log, environ: Mapping[str, str]) -> int:
    """Serve until SIGTERM or SIGINT. Return the exit code."""
    settings = configuration.settings.milter
    listener = Listener(settings.socket)
    try:
        listener.open()
    except ListenerError as error:
        log.error("cannot start", why=error)
        return _FAILED
    trace_pipe = TracePipe()
    started = configuration.settings
    refused = False

    def reload() -> bool:
        nonlocal refused
        refused = not configuration.reload(log)
        return not refused

    def roles(directory: Path) -> Iterator[Role]:
        def work(slot: int, control: ChildControl) -> int:
            return run_worker(control, slot, configuration, listener, trace_pipe, directory, log, refused)

        def write(control: ChildControl) -> int:
            return run_writer(control, configuration, trace_pipe, directory, log, refused)

        def serve_metrics(control: ChildControl) -> int:
            trace_pipe.close()
            return run_metrics(control, started, directory, log)

        for slot in range(settings.workers):
            yield Role(f"worker {slot}", partial(work, slot), handles_mail=True)
        yield Role("writer", write)
        yield Role("metrics", serve_metrics, counts=True)

    try:
        with _metrics_directory(environ) as directory:
            supervisor = Supervisor(tuple(roles(directory)), reload, lambda: listener.intact, Notify(environ), log)
            return supervisor.run(trace_pipe.close)
    finally:
        listener.remove()


@contextmanager
def _metrics_directory(environ: Mapping[str, str]) -> Iterator[Path]:
    """Make the directory of the metrics, and remove it at the end: below $RUNTIME_DIRECTORY, else a private one."""
    given = environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    directory = Path(given) / "metrics" if given else Path(tempfile.mkdtemp(prefix=f"{_PROGRAM}-"))
    # The counts of a former run would be added to those of this one.
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
