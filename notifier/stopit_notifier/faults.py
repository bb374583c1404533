"""The faults of the notifier's loop: each is counted and logged, and ends one stage of a turn, not the turn."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from stopit_core.daemon.logs import Log
from stopit_core.errors import Transient
from stopit_core.metrics import NotifierMetrics

__all__ = ["Faults", "LoopStage"]

_LONGEST_SUMMARY = 500


class LoopStage(StrEnum):
    """A stage of a turn, as `stopit_notifier_faults_total` labels it."""

    INTAKE = "intake"
    OUTBOX = "outbox"
    GAUGES = "gauges"


@dataclass(frozen=True, slots=True)
class _Fault:
    """An error in a few words; for an unexpected exception, with its trace."""

    error: str
    trace: str


class Faults:
    """The faults of the current turn, by stage. `private` removes addresses from a text for the log.

    Each is counted. It is logged unless it is the same as the one before it, in this turn or the one before.
    """

    def __init__(self, metrics: NotifierMetrics, log: Log, private: Callable[[str], str]) -> None:
        self._metrics = metrics
        self._log = log
        self._private = private
        self._current: dict[LoopStage, _Fault] = {}
        self._previous: dict[LoopStage, _Fault] = {}

    def begin_turn(self) -> None:
        """Start with no faults."""
        self._previous, self._current = self._current, {}

    def end_turn(self) -> None:
        """Log the recovery when the turn before had faults and this one has none."""
        if self._previous and not self._current:
            self._log.info("no faults any more")

    def at(self, stage: LoopStage) -> bool:
        """Return True if this stage had a fault in the current turn."""
        return stage in self._current

    @property
    def summary(self) -> str | None:
        """The faults of the current turn in one line; None when there are none."""
        found = "; ".join(f"{stage} waits: {fault.error}" for stage, fault in self._current.items())
        return found[:_LONGEST_SUMMARY] or None

    @contextmanager
    def caught(self, stage: LoopStage) -> Iterator[None]:
        """Catch every exception of the block, count it for the stage, and log it."""
        try:
            yield
        except Transient as error:
            self._record(stage, self._private(str(error)))
        except Exception as error:  # noqa: BLE001  a bug in one report's handling must not stop all the others
            self._record(stage, type(error).__name__, self._private(traceback.format_exc()))

    def _record(self, stage: LoopStage, error: str, trace: str = "") -> None:
        self._metrics.faults.labels(stage.value).inc()
        known = self._current.get(stage) or self._previous.get(stage)
        fault = self._current[stage] = _Fault(error, trace)
        if fault == known:
            return
        self._log.warning("fault, will retry", stage=stage.value, error=error)
        if trace:
            self._log.error("unexpected exception", stage=stage.value, trace=trace)
