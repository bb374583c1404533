"""stopit-notifier: from reports on the queue to cases, and from cases to mail.

    queue -- intake --> case record -- outbox --> MTA
               |                          |
               `-------- ledger ----------'

Exits with 0 after SIGTERM or SIGINT, with 1 when its metrics cannot be served, and with 78 (EX_CONFIG) when the
configuration, the key or a template has a fault. SIGHUP reads them all again. While a store or an MTA is away, the
notifier waits.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click
from prometheus_client import disable_created_metrics

from stopit_core import __version__
from stopit_core.config import config_path
from stopit_core.daemon.http import serve
from stopit_core.daemon.logs import open_log
from stopit_core.daemon.systemd import Notify, log_warnings
from stopit_core.errors import ConfigError
from stopit_core.metrics import HttpMetrics
from stopit_notifier.configuration import NotifierConfiguration
from stopit_notifier.failpoints import FailpointHook, no_failpoint
from stopit_notifier.notifier import build

__all__ = ["main", "run"]

_PROGRAM = "stopit-notifier"
_FAILED = 1
_FAULTY_CONFIGURATION = 78  # EX_CONFIG of sysexits.h


@click.command(name=_PROGRAM)
@click.option(
    "--config", type=click.Path(path_type=Path), help="The file; else $STOPIT_CONFIG, else the one in /etc."
)
@click.version_option(__version__, prog_name=_PROGRAM)
def command(config: Path | None) -> None:
    """Decide on reports, keep the case record, and send notices and acknowledgements."""
    sys.exit(run(config_path(config)))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the program with these arguments; by default with those of the command line."""
    command.main(args=argv, prog_name=_PROGRAM)


def run(config: Path, failpoint: FailpointHook = no_failpoint) -> int:
    """Serve until SIGTERM or SIGINT, and return the exit code. `failpoint` is called at every failpoint."""
    try:
        configuration = NotifierConfiguration.read(config)
    except ConfigError as error:
        for fault in error.faults:
            click.echo(str(fault), err=True)
        return _FAULTY_CONFIGURATION
    log = open_log(_PROGRAM)
    log_warnings(configuration.settings, log)
    disable_created_metrics()  # type: ignore[no-untyped-call]
    notifier = build(configuration, log, Notify(), failpoint=failpoint)
    address = configuration.settings.notifier.metrics
    try:
        serve(address, HttpMetrics(notifier.metrics.registry), notifier.readiness)
    except OSError as error:
        log.error("cannot serve metrics", address=address, why=str(error))
        return _FAILED
    notifier.signals.listen()
    notifier.run()
    return 0


if __name__ == "__main__":
    main()
