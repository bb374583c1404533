"""`stopitctl health`: ask each daemon whether it is ready, for monitoring and load balancers.

`doctor` searches for faults and says what to do about them; `health` asks the daemons themselves (/readyz), takes a
second, and needs no rights but to read the configuration.
"""

from __future__ import annotations

import http.client
from dataclasses import dataclass

import click

from stopit_ctl.cli import EX_FOUND
from stopit_ctl.local_site import Site

__all__ = ["health"]

_DAEMONS = ("milter", "notifier")


@dataclass(frozen=True, slots=True)
class Health:
    """The answer of a daemon. `text` is one line: "ready", or why it is not."""

    ready: bool
    text: str


@click.command()
@click.argument("daemons", metavar="[milter] [notifier]", nargs=-1, type=click.Choice(_DAEMONS))
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 600),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="Time limit of each answer.",
)
@click.pass_obj
def health(site: Site, daemons: tuple[str, ...], timeout: float) -> None:
    """Ask each daemon whether it is ready.

    Prints a line for each daemon. The exit code is 0 when all are ready, else
    1. On a host that runs only one of them, name it. /readyz on the port of
    the metrics gives the same answer by HTTP: 200 or 503, with a line for each
    part that the daemon needs.
    """
    settings = site.settings()
    addresses = {"milter": settings.milter.metrics, "notifier": settings.notifier.metrics}
    all_ready = True
    for daemon in dict.fromkeys(daemons or _DAEMONS):
        found = _ask(addresses[daemon], timeout)
        state, style = ("ok", "green") if found.ready else ("FAULT", "bold red")
        site.output.status(state, f"stopit-{daemon}: {found.text}", style, is_fault=not found.ready)
        all_ready = all_ready and found.ready
    if not all_ready:
        raise click.exceptions.Exit(EX_FOUND)


def _ask(address: str, timeout: float) -> Health:
    """Return the answer to /readyz of the daemon at "host:port"."""
    host, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=timeout)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        first, *results = answer.read().decode("utf-8", "replace").splitlines() or [""]
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
        return Health(False, f"no answer at {address}: {why}")
    finally:
        connection.close()
    if (answer.status, first) not in ((200, "ready"), (503, "not ready")):
        return Health(False, f"another program answers at {address}")
    faults = [result for result in results if not result.endswith(": ok")]
    return Health(answer.status == 200, "; ".join([first, *faults]))
