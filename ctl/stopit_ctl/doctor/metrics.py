"""Probes the metrics of the daemons, and the state that they show."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from collections.abc import Iterator

from prometheus_client.parser import text_string_to_metric_families

from stopit_core import __version__
from stopit_ctl.console_output import duration
from stopit_ctl.probe_results import ProbeResult

__all__ = ["probe_metrics", "scrape", "serves_metrics"]

_TIMEOUT = 5.0
_STUCK = 300.0


def serves_metrics(address: str) -> bool:
    """Return whether a daemon serves metrics at "host:port"."""
    try:
        scrape(address)
    except (OSError, ValueError, http.client.HTTPException):
        return False
    return True


def probe_metrics(daemon: str, address: str, now: float) -> Iterator[ProbeResult]:
    """Probe the metrics of a daemon at "host:port". `now`: seconds since the epoch."""
    try:
        values = scrape(address)
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        yield ProbeResult.fault(
            f"{daemon}: no metrics at {address}: {reason}",
            f"`systemctl status {daemon}` shows whether it runs; the key metrics in stopit.toml sets the address",
        )
        return
    version = next((labels for name, labels in values if name == "stopit_build_info"), "")
    if not version:
        yield ProbeResult.fault(
            f"{daemon}: {address} answers, but not as {daemon}", "another program uses the port; choose another one"
        )
        return
    yield ProbeResult.ok(f"{daemon}: runs, and serves metrics at {address}")
    if version != __version__:
        yield ProbeResult.fault(
            f"{daemon}: runs version {version}, this is {__version__}", f"systemctl restart {daemon}"
        )
    if values.get(("stopit_config_last_reload_successful", ""), 1.0) < 1:
        yield ProbeResult.fault(
            f"{daemon}: refused the configuration at its last reload and runs with the old one",
            f"`stopitctl check` reports the faults; then systemctl reload {daemon}",
        )
    success = values.get(("stopit_notifier_last_success_timestamp_seconds", ""))
    if success is not None and now - success > _STUCK:
        since = f"for {duration(now - success)}" if success else "since it started"
        yield ProbeResult.fault(
            f"{daemon}: has not completed a pass over queue and outbox {since}",
            f"journalctl -u {daemon} shows why",
        )


def scrape(address: str) -> dict[tuple[str, str], float]:
    """Return samples by name and the value of their first label ("" without one); samples of one key are added up.

    Raises OSError, ValueError or HTTPException when there are no metrics at this address.
    """
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=_TIMEOUT) as page:
        text = page.read().decode("utf-8", "replace")
    values: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = sample.labels.values()
            key = (sample.name, next(iter(labels), ""))
            values[key] = values.get(key, 0.0) + sample.value if len(labels) > 1 else sample.value
    return values
