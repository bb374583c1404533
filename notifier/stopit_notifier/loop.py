"""The notifier's loop: take reports, send messages, refresh the gauges, and survive every store that is away.

One thread does everything except the SMTP connections of a batch (`smtp.pool`), which work while the next reports are
decided. So nothing here needs a lock, and a loop that completes its turns is not stuck. Each turn takes a limited
number of reports and messages: neither a flood of flags nor a slow MTA delays the other for long.

A fault ends a stage, not the turn. After a fault of the intake the next turn first checks that the case record and
the ledger answer, before it claims another report: each claim uses up one of the report's deliveries, and a database
that is away for an hour must not fill the dead letters.

Where a batch of reports fails, the fault is logged and counted, and each report of the batch is taken alone. A report
that is delivered again may be the one that killed a notifier: a claim returns at most one such report, and it is
taken alone and last, so that it uses up no deliveries of others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from stopit_core.clock import Time
from stopit_notifier.faults import Faults, LoopStage
from stopit_notifier.reports.intake import ClaimedReport, Intake
from stopit_notifier.sending.outbox import Outbox

__all__ = ["Loop", "PeriodicTask"]

PeriodicTask = tuple[LoopStage, Callable[[], None]]
"""A stage and its task, which is called in every turn and returns at once when it is not due."""

_BATCH = 256
_SHARE = 8
_LONGEST_WAIT = 1.0
_SHORTEST_WAIT = 0.05
_AFTER_FAULT = 1.0


class Loop:
    """Does a notifier's work, turn by turn.

    `prepare` makes the case record ready, and raises Transient when it is away. `go_on` is called after each piece of
    work: it may notify the watchdog, and returns False when the daemon is to end.
    """

    def __init__(
        self,
        prepare: Callable[[], None],
        intake: Intake,
        outbox: Outbox,
        periodic: Sequence[PeriodicTask],
        faults: Faults,
        time: Time,
        go_on: Callable[[], bool],
    ) -> None:
        self._prepare = prepare
        self._intake = intake
        self._outbox = outbox
        self._periodic = tuple(periodic)
        self._faults = faults
        self._time = time
        self._go_on = go_on
        self._unchecked = True
        self._more_reports = False
        self._wait = 0.0

    @property
    def status(self) -> str:
        """The state of the loop in a few words, for the service manager."""
        return self.fault or "takes reports and sends messages"

    @property
    def fault(self) -> str | None:
        """The faults of the last turn; None when it had none."""
        return self._faults.summary

    def turn(self) -> None:
        """Take some reports, send some messages, do the periodic tasks. Waits up to a second when idle."""
        self._faults.begin_turn()
        self._work()
        self._unchecked = self._faults.at(LoopStage.INTAKE)
        self._faults.end_turn()
        if self.fault is not None:
            self._wait = 0.0
            self._time.sleep(_AFTER_FAULT)

    def _work(self) -> None:
        if self._unchecked:
            with self._faults.caught(LoopStage.INTAKE):
                self._prepare()
            if self._faults.at(LoopStage.INTAKE):
                return  # without the case record there is nothing to do
        stages = ((LoopStage.INTAKE, self._take_reports), (LoopStage.OUTBOX, self._send_messages), *self._periodic)
        for stage, work in stages:
            with self._faults.caught(stage):
                work()
            if not self._go_on():
                return

    def _take_reports(self) -> None:
        if self._unchecked:
            self._intake.check_ledger()
        batches = self._intake.claim(_BATCH, self._wait)
        self._more_reports = sum(len(batch) for batch in batches) == _BATCH
        for batch in batches:
            if not self._take(batch):
                break  # the rest come again when their lease has passed

    def _take(self, batch: Sequence[ClaimedReport]) -> bool:
        """Deal with a batch; where it fails, with each of its reports alone. Return True if the next may follow."""
        with self._faults.caught(LoopStage.INTAKE):
            self._intake.handle(batch)
            return self._go_on()
        return len(batch) > 1 and all(self._take([report]) for report in batch)

    def _send_messages(self) -> None:
        more = True
        for _ in range(_SHARE):
            more = self._outbox.run_once(patient=not self._more_reports)
            if not (self._go_on() and more):
                break
        self._wait = 0.0 if more or self._more_reports else self._until_next_due()

    def _until_next_due(self) -> float:
        due_at = self._outbox.next_due()
        wait = _LONGEST_WAIT if due_at is None else due_at - self._time.clock()
        return min(max(wait, _SHORTEST_WAIT), _LONGEST_WAIT)
