"""What of the host itself can break Stopit: metrics that nobody can read, a full disk, a clock that is wrong."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from stopit_core import __version__
from stopit_ctl.console_output import duration
from stopit_ctl.probe_results import ProbeResult

__all__ = ["answers", "probe_clock", "probe_disk", "probe_metrics", "scrape"]

_TIMEOUT = 5.0
_FREE = 512 * 1024 * 1024
_FILES = 1000
_STUCK = 300.0
_RELEASED = 1_790_000_000.0
"""September 2026: a clock that is before it has never been set."""


def answers(address: str) -> bool:
    """Whether a daemon shows its metrics there."""
    try:
        scrape(address)
    except (OSError, ValueError, http.client.HTTPException):
        return False
    return True


def probe_metrics(daemon: str, address: str, now: float) -> Iterator[ProbeResult]:
    """Whether a daemon's metrics can be read, and what they say of it."""
    try:
        values = scrape(address)
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        yield ProbeResult.fault(
            f"{daemon}: no metrics at {address}: {reason}",
            f"see with `systemctl status {daemon}` whether it runs; metrics in the configuration is its address",
        )
        return
    version = next((labels for name, labels in values if name == "stopit_build_info"), "")
    if not version:
        yield ProbeResult.fault(
            f"{daemon}: {address} answers, but not as {daemon}", "another program has the port; choose another one"
        )
        return
    yield ProbeResult.ok(f"{daemon}: runs, and shows metrics at {address}")
    if version != __version__:
        yield ProbeResult.fault(
            f"{daemon}: runs version {version}, this is {__version__}", f"systemctl restart {daemon}"
        )
    if values.get(("stopit_config_last_reload_successful", ""), 1.0) < 1:
        yield ProbeResult.fault(
            f"{daemon}: refused the configuration at its last reload and runs with the old one",
            f"`stopitctl check` names the faults; then systemctl reload {daemon}",
        )
    success = values.get(("stopit_notifier_last_success_timestamp_seconds", ""))
    if success is not None and now - success > _STUCK:
        since = f"for {duration(now - success)}" if success else "since it started"
        yield ProbeResult.fault(
            f"{daemon}: has not got through queue and outbox {since}", f"its log says why: journalctl -u {daemon}"
        )


def probe_disk(directories: list[Path]) -> Iterator[ProbeResult]:
    """Whether there is room for reports and traces, once for each file system."""
    seen = set()
    for directory in directories:
        try:
            device, usage, files = directory.stat().st_dev, shutil.disk_usage(directory), os.statvfs(directory)
        except OSError:
            continue  # that it is not there was found by those who look for it
        if device in seen:
            continue
        seen.add(device)
        free = f"{usage.free // (1024 * 1024):,} MB free"
        if usage.free < _FREE:
            yield ProbeResult.fault(
                f"disk: {free} at {directory}", "make room: a full disk makes the MTA put mail off"
            )
        elif files.f_files and files.f_favail < _FILES:
            yield ProbeResult.fault(f"disk: {files.f_favail} files can be made at {directory}", "remove files there")
        else:
            yield ProbeResult.ok(f"disk: {free} at {directory}")


def probe_clock(now: float) -> Iterator[ProbeResult]:
    """Whether the clock can be right: retention, cooldown and notice delay are counted by it."""
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if now < _RELEASED:
        yield ProbeResult.fault(
            f"clock: says {shown}, before this program was made", "set the clock, and keep it by NTP"
        )
        return
    synchronised = _said(["timedatectl", "show", "--property=NTPSynchronized", "--value"])
    match synchronised:
        case "yes":
            yield ProbeResult.ok(f"clock: {shown}, kept by NTP")
        case "no":
            yield ProbeResult.fault(
                f"clock: {shown}, but nothing keeps it", "apt install systemd-timesyncd, or chrony"
            )
        case _:
            yield ProbeResult.untried(f"clock: says {shown}; whether NTP keeps it", "timedatectl does not tell here")


def scrape(address: str) -> dict[tuple[str, str], float]:
    """Samples by name and the value of their first label ("" without one), those that share it added up.

    Raises OSError, ValueError, HTTPException where no metrics are to be had."""
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=_TIMEOUT) as page:
        text = page.read().decode("utf-8", "replace")
    values: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = sample.labels.values()
            key = (sample.name, next(iter(labels), ""))
            values[key] = values.get(key, 0.0) + sample.value if len(labels) > 1 else sample.value
    return values


def _said(command: list[str]) -> str:
    """What a program of the system prints, "" when it is not there or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
