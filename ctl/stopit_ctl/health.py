"""`stopitctl health`: whether each daemon would do its work now, in a line each, for monitoring and load balancers.

`doctor` looks for what is wrong and says what to do; this asks the daemons themselves, in a second, and needs no
rights but to read the configuration. It is what they answer under /readyz.
"""

from __future__ import annotations

import http.client
from dataclasses import dataclass

import click

from stopit_ctl.cli import EX_FOUND
from stopit_ctl.local_site import Site

__all__ = ["Health", "ask", "health"]

_DAEMONS = ("milter", "notifier")


@dataclass(frozen=True, slots=True)
class Health:
    """What a daemon said of itself. `what` is one line: "ready", or why not."""

    ready: bool
    what: str


@click.command()
@click.argument("daemons", metavar="[milter] [notifier]", nargs=-1, type=click.Choice(_DAEMONS))
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 600),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for each.",
)
@click.pass_obj
def health(site: Site, daemons: tuple[str, ...], timeout: float) -> None:
    """Ask each daemon whether it would do its work now.

    A line for each; exit code 0 when all are ready, else 1. Name the one that
    runs here where only one does. By HTTP the same is at /readyz, on the port
    of the metrics: 200 or 503, with a line for each thing that is needed.
    """
    settings = site.settings()
    addresses = {"milter": settings.milter.metrics, "notifier": settings.notifier.metrics}
    well = True
    for daemon in dict.fromkeys(daemons or _DAEMONS):
        found = ask(addresses[daemon], timeout)
        state, style = ("ok", "green") if found.ready else ("FAULT", "bold red")
        site.output.status(state, f"stopit-{daemon}: {found.what}", style, is_fault=not found.ready)
        well = well and found.ready
    if not well:
        raise click.exceptions.Exit(EX_FOUND)


def ask(address: str, timeout: float) -> Health:
    """What the daemon at "host:port" answers to /readyz."""
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=timeout)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        first, *parts = answer.read().decode("utf-8", "replace").splitlines() or [""]
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return Health(False, f"no answer at {address}: {why}")
    finally:
        connection.close()
    if (answer.status, first) not in ((200, "ready"), (503, "not ready")):
        return Health(False, f"something else answers at {address}")
    faults = [part for part in parts if not part.endswith(": ok")]
    return Health(answer.status == 200, "; ".join([first, *faults]))
