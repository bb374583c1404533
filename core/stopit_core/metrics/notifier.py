"""What stopit-notifier tells."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from math import nan

from prometheus_client import CollectorRegistry

from stopit_core.metrics.described import DaemonMetrics
from stopit_core.metrics.results import SendResult

__all__ = ["NotifierMetrics"]

_DECIDING = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds. A report takes some milliseconds, two seconds more while its original's trace is on its way."""
_WAITING = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0)
"""Seconds, from the flag to the decision: a moment, or as long as a store was away."""
_SENDING = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Seconds. The longest attempt is smtp.timeout and notifier.settle: 90 s as shipped."""


class NotifierMetrics(DaemonMetrics):
    """What stopit-notifier counts. `outcomes` are all (outcome, reason) pairs, `kinds` all kinds of messages,
    `states` all states of a case: the enums of `policy` and `cases`, which stand above this module."""

    def __init__(
        self,
        registry: CollectorRegistry,
        outcomes: Iterable[tuple[str, str]],
        kinds: Iterable[str],
        states: Iterable[str],
    ) -> None:
        super().__init__(registry)
        self._of_reports(outcomes)
        self._of_messages(tuple(kinds))
        self._of_cases(states)
        self._of_the_loop()

    def _of_reports(self, outcomes: Iterable[tuple[str, str]]) -> None:
        self.queue_depth = self.gauge(
            "stopit_queue_depth",
            "reports",
            "Reports in the queue that are not yet acknowledged.",
            "A depth that does not fall for minutes: the notifier cannot keep up, or is stuck.",
        )
        self.queue_oldest_age = self.gauge(
            "stopit_queue_oldest_age_seconds",
            "seconds",
            "Age of the oldest report in the queue.",
            "Above ten minutes: one report fails again and again, or nothing is taken at all.",
        )
        self.dead_letters = self.gauge(
            "stopit_dead_letters",
            "reports",
            "Reports set aside for a person (stopitctl queue list).",
            "Above zero: a member's flag waits for you.",
        )
        self.queue_durable = self.gauge(
            "stopit_queue_durable",
            "1 or 0",
            "1 when the queue's server is known to lose nothing in a power cut, 0 when it is not; NaN before the "
            "first look. A queue in SQLite is durable.",
            "0: acknowledged reports can be lost with the server's host.",
        )
        self.queue_durable.set(nan)
        self.decisions = self.counter(
            "stopit_decisions",
            "decisions",
            "Decisions on reports, by outcome and reason.",
            "Much `staff-review` for one reason: the site's policy, its aliases or a milter that misses mail.",
            ["outcome", "reason"],
            outcomes,
        )
        self.decision_duration = self.histogram(
            "stopit_decision_duration_seconds",
            "Time that one report took in the notifier, claim to acknowledgement; reports that were decided on "
            "together share it evenly.",
            "Seconds where it was milliseconds: the case record or the ledger is slow.",
            _DECIDING,
        )
        self.report_age = self.histogram(
            "stopit_report_age_at_decision_seconds",
            "Age of a report when it was decided on, counted from the flag.",
            "What a member waits for the acknowledgement. Minutes: the queue was away, or there is a flood.",
            _WAITING,
        )

    def _of_messages(self, kinds: tuple[str, ...]) -> None:
        self.sent = self.counter(
            "stopit_messages_sent",
            "attempts",
            "Attempts to send a message of ours, by its kind and what became of it.",
            "`failed` and `unclear` are with staff; `deferred` without `sent` beside it: the MTA takes nothing.",
            ["kind", "result"],
            [(kind, result.value) for kind, result in product(kinds, SendResult)],
        )
        self.bounced = self.counter(
            "stopit_messages_bounced",
            "messages",
            "Messages of ours that came back after the MTA had taken them, by kind.",
            "Notices that bounce: the login's address does not exist, so identity.login_address or the directory "
            "maps it wrongly. Staff are told of each.",
            ["kind"],
            [(kind,) for kind in kinds],
        )
        self.send_duration = self.histogram(
            "stopit_smtp_send_duration_seconds",
            "Time that one attempt to send took: connection, if there was none, to the answer to the last dot, or to "
            "the refusal.",
            "Tens of seconds: the MTA's content filters or its DNS; the watchdog allows for 5 minutes.",
            _SENDING,
        )
        self.outbox_due = self.gauge(
            "stopit_outbox_due",
            "messages",
            "Messages of ours whose time has come and that are not sent yet.",
            "More than a few for minutes: a flood, or an MTA that is slow.",
        )
        self.outbox_put_off = self.gauge(
            "stopit_outbox_put_off",
            "messages",
            "Messages of ours that were tried, were not taken, and will be tried again.",
            "Above zero for half an hour: the MTA refuses them, or cannot be reached.",
        )

    def _of_cases(self, states: Iterable[str]) -> None:
        self.cases = self.gauge(
            "stopit_cases",
            "cases",
            "Cases on record, by state.",
            "`staff` is what waits for a person. The same on each notifier of a site: take the max, not the sum.",
            ["state"],
            [(state,) for state in states],
        )
        self.staff_case_age = self.gauge(
            "stopit_staff_case_oldest_age_seconds",
            "seconds",
            "How long the case that waits longest for staff has waited: since it came to them, or since they last "
            "did something on it. 0 when none waits.",
            "Days: nobody reads the staff mailbox.",
        )
        self.contacts = self.counter(
            "stopit_contacts_after_notice",
            "messages",
            "Messages from a notified sender to the reporter, after the notice.",
            "A rise: it did not stop.",
        )
        self.senders_notified = self.gauge(
            "stopit_senders_notified",
            "senders",
            "Senders on record who have been sent a notice.",
            "What the next one is a part of.",
        )
        self.senders_recurred = self.gauge(
            "stopit_senders_recurred",
            "senders",
            "Of those, the ones reported again for mail sent after the notice.",
            "Its share of `stopit_senders_notified` is whether the notice works.",
        )

    def _of_the_loop(self) -> None:
        self.faults = self.counter(
            "stopit_notifier_faults",
            "faults",
            "Faults while taking reports or sending; the work is tried again.",
            "A rate: a store is away, or there is a bug. The log names each once.",
            ["stage"],
            [("intake",), ("outbox",), ("gauges",)],
        )
        self.last_success = self.gauge(
            "stopit_notifier_last_success_timestamp_seconds",
            "seconds since the epoch",
            "When the notifier last looked through queue and outbox without a fault.",
            "Minutes ago: a store is away. See the next one.",
        )
        self.last_turn = self.gauge(
            "stopit_notifier_last_turn_timestamp_seconds",
            "seconds since the epoch",
            "When the notifier's loop last came to the end of a turn, with or without a fault.",
            "Minutes ago: the loop hangs, and the watchdog will restart it.",
        )
