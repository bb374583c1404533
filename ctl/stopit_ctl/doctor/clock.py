"""Probes the clock of the host: retention, cooldown and notice delay depend on it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

from stopit_ctl.probe_results import ProbeResult

__all__ = ["probe_clock"]

_TIMEOUT = 5.0
_RELEASED = 1_790_000_000.0
"""September 2026: an earlier time shows that the clock was never set."""


def probe_clock(now: float) -> Iterator[ProbeResult]:
    """Probe whether the time is plausible and kept by NTP. `now`: seconds since the epoch."""
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if now < _RELEASED:
        yield ProbeResult.fault(
            f"clock: it is {shown}, before this program was released", "set the clock, and synchronise it by NTP"
        )
        return
    match _ntp_synchronised():
        case "yes":
            yield ProbeResult.ok(f"clock: {shown}, synchronised by NTP")
        case "no":
            yield ProbeResult.fault(
                f"clock: {shown}, but it is not synchronised", "apt install systemd-timesyncd, or chrony"
            )
        case _:
            yield ProbeResult.untried(f"clock: it is {shown}; whether NTP synchronises it", "timedatectl cannot tell")


def _ntp_synchronised() -> str:
    """Return the answer of timedatectl, "yes" or "no"; "" when it is not installed or fails."""
    command = ["timedatectl", "show", "--property=NTPSynchronized", "--value"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
