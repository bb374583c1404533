"""The readiness of a notifier: the answer to "would a report be handled now?", asked from outside the loop's thread.

The loop records when it did a piece of work (`beat`) and how each turn ended (`turned`). An idle loop does not notice
that the ledger is away, and between two turns it does not notice that the queue is: so each store is asked as well.
A store that does not answer within three seconds counts as faulty, because Prometheus would give up before a
database that no longer answers does, and then have no answer at all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

from stopit_core.daemon.http import CheckResult
from stopit_core.errors import Transient

__all__ = ["LoopPulse", "StoreProbes", "check_readiness"]

_GRACE = 30.0
_PATIENCE = 3.0


class LoopPulse:
    """The progress of the loop. `longest` returns the seconds that one piece of work may take."""

    def __init__(self, longest: Callable[[], float], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._longest = longest
        self._monotonic = monotonic
        self._at = monotonic()
        self._fault: str | None = "has not completed a turn yet"

    def beat(self) -> None:
        """Record that a piece of work is done."""
        self._at = self._monotonic()

    def turned(self, fault: str | None) -> None:
        """Record that a turn ended, and its fault, if it had one."""
        self.beat()
        self._fault = fault

    @property
    def fault(self) -> str | None:
        """The fault of the loop; None while it does its work."""
        silent = self._monotonic() - self._at
        if silent > self._longest() + _GRACE:
            return f"has done nothing for {silent:.0f} s"
        return self._fault


class _Probe:
    """A question to one store, asked in its own thread. The thread may run longer than the caller waits for it."""

    def __init__(self, ping: Callable[[], None]) -> None:
        self._ping = ping
        self._fault: str | None = None
        self._thread = threading.Thread(target=self._ask, name="readiness", daemon=True)
        self._thread.start()

    @property
    def open(self) -> bool:
        """True while there is no answer."""
        return self._thread.is_alive()

    def fault(self, until: float) -> str | None:
        """Wait for the answer until this time on the monotonic clock, and return the store's fault, if it has one."""
        self._thread.join(max(0.0, until - time.monotonic()))
        return f"no answer within {_PATIENCE:g} s" if self.open else self._fault

    def _ask(self) -> None:
        try:
            self._ping()
        except Transient as error:
            self._fault = str(error)
        except Exception as error:  # noqa: BLE001  whatever it is, the store did not answer as it should
            self._fault = type(error).__name__


class StoreProbes:
    """Asks the stores whether they answer. For one thread at a time.

    `pings` holds a function for each store, by its name; it raises Transient when the store is away.
    """

    def __init__(self, pings: Mapping[str, Callable[[], None]]) -> None:
        self._pings = pings
        self._probes: dict[str, _Probe] = {}

    def faults(self) -> dict[str, str | None]:
        """Return the fault of each store, None where it answers.

        All are asked at once. A store that has not answered the question before is not asked again.
        """
        for name, ping in self._pings.items():
            before = self._probes.get(name)
            if before is None or not before.open:
                self._probes[name] = _Probe(ping)
        until = time.monotonic() + _PATIENCE
        return {name: probe.fault(until) for name, probe in self._probes.items()}


def check_readiness(pulse: LoopPulse, probes: StoreProbes, private: Callable[[str], str]) -> Sequence[CheckResult]:
    """Return the state of everything that a report needs. `private` removes addresses from a text."""
    found = {**probes.faults(), "loop": pulse.fault}
    return [CheckResult(name, private(fault) if fault else "") for name, fault in found.items()]
