"""Run a probe with the rights of a daemon's user, so that it finds what the daemon will find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from stopit_ctl.probe_results import ProbeResult
from stopit_ctl.service_user import ServiceUser

__all__ = ["probe_as"]


def probe_as(user: ServiceUser, probe: Callable[[], Iterator[ProbeResult]]) -> list[ProbeResult]:
    """Return the results of a probe that runs with the rights of this user; each names the user."""
    results: list[ProbeResult] = []
    try:
        with user.acting():
            results.extend(probe())
    except (ImportError, OSError) as error:
        results.append(
            ProbeResult.fault(f"a file of the program itself cannot be read: {error}", "install it for all users")
        )
    if not user.reachable:
        return results
    return [replace(result, text=f"{result.text} (as {user.name})") for result in results]
