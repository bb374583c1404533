"""The metrics of stopit-notifier."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from math import nan

from prometheus_client import CollectorRegistry

from stopit_core.metrics.described import DaemonMetrics
from stopit_core.metrics.results import SendLabel

__all__ = ["NotifierMetrics"]

_DECIDING = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Seconds. A report takes some milliseconds, and two seconds more if the trace of its original is not written yet."""
_WAITING = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0)
"""Seconds from the flag to the decision. Long if a store was down."""
_SENDING = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Seconds. The longest attempt takes smtp.timeout plus notifier.settle: 90 s by default."""


class NotifierMetrics(DaemonMetrics):
    """The metrics of stopit-notifier.

    `outcomes` are all (outcome, reason) pairs, `kinds` all kinds of messages, `states` all states of a case. They are
    passed in, because `policy` and `cases` are above this module.
    """

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
            "Reports in the queue that the notifier has not acknowledged yet.",
            "A depth that does not fall for minutes: the notifier is too slow, or it is stuck.",
        )
        self.queue_oldest_age = self.gauge(
            "stopit_queue_oldest_age_seconds",
            "seconds",
            "Age of the oldest report in the queue.",
            "Above ten minutes: one report fails repeatedly, or the notifier takes no reports.",
        )
        self.dead_letters = self.gauge(
            "stopit_dead_letters",
            "reports",
            "Reports set aside for an operator (stopitctl queue list).",
            "Above zero: a member's flag waits for an operator.",
        )
        self.queue_durable = self.gauge(
            "stopit_queue_durable",
            "1 or 0",
            "1 if the server of the queue loses nothing in a power cut, 0 if it may or if this is unknown, NaN "
            "before the first check. A queue in SQLite is durable.",
            "0: a power cut of the server can lose reports that it has accepted.",
        )
        self.queue_durable.set(nan)
        self.decisions = self.counter(
            "stopit_decisions",
            "decisions",
            "Decisions on reports, by outcome and reason.",
            "Many `staff-review` decisions for one reason: check the policy, the aliases, and whether all mail "
            "passes the milter.",
            ["outcome", "reason"],
            outcomes,
        )
        self.decision_duration = self.histogram(
            "stopit_decision_duration_seconds",
            "Time that the notifier needed for one report, from claim to acknowledgement. The time of a batch is "
            "divided evenly among its reports.",
            "Seconds instead of milliseconds: the case record or the ledger is slow.",
            _DECIDING,
        )
        self.report_age = self.histogram(
            "stopit_report_age_at_decision_seconds",
            "Age of a report when it was decided, counted from the flag.",
            "Minutes: the queue was down, or there is a flood. A member waits this long for the acknowledgement.",
            _WAITING,
        )

    def _of_messages(self, kinds: tuple[str, ...]) -> None:
        self.sent = self.counter(
            "stopit_messages_sent",
            "attempts",
            "Attempts to send a message of Stopit, by kind and result.",
            "`failed` and `unclear`: staff are told of each. `deferred` without `sent`: the MTA accepts no messages.",
            ["kind", "result"],
            [(kind, result.value) for kind, result in product(kinds, SendLabel)],
        )
        self.bounced = self.counter(
            "stopit_messages_bounced",
            "messages",
            "Messages of Stopit that bounced after the MTA had accepted them, by kind.",
            "Notices that bounce: the address of the login does not exist, so identity.login_address or the "
            "directory maps it wrongly. Staff are told of each.",
            ["kind"],
            [(kind,) for kind in kinds],
        )
        self.send_duration = self.histogram(
            "stopit_smtp_send_duration_seconds",
            "Time of one attempt to send, from the connection (if a new one was needed) to the reply to the final "
            "dot, or to the refusal.",
            "Tens of seconds: content filters or DNS of the MTA are slow. The watchdog allows 5 minutes.",
            _SENDING,
        )
        self.outbox_due = self.gauge(
            "stopit_outbox_due",
            "messages",
            "Messages of Stopit that are due and not sent yet.",
            "More than a few for minutes: a flood, or a slow MTA.",
        )
        self.outbox_put_off = self.gauge(
            "stopit_outbox_put_off",
            "messages",
            "Messages of Stopit that the MTA deferred, and that will be tried again.",
            "Above zero for half an hour: the MTA defers them, or cannot be reached.",
        )

    def _of_cases(self, states: Iterable[str]) -> None:
        self.cases = self.gauge(
            "stopit_cases",
            "cases",
            "Cases on record, by state.",
            "`staff`: cases that wait for staff. Every notifier of a site reports the same: use max, not sum.",
            ["state"],
            [(state,) for state in states],
        )
        self.staff_case_age = self.gauge(
            "stopit_staff_case_oldest_age_seconds",
            "seconds",
            "Time for which the oldest case that waits for staff has waited, since it was given to staff or since "
            "staff last acted on it. 0 if no case waits.",
            "Days: nobody reads the staff mailbox.",
        )
        self.contacts = self.counter(
            "stopit_contacts_after_notice",
            "messages",
            "Messages from a notified sender to the reporter, after the notice.",
            "A rise: the sender did not stop.",
        )
        self.senders_notified = self.gauge(
            "stopit_senders_notified",
            "senders",
            "Senders on record who were sent a notice.",
            "The total for `stopit_senders_recurred`.",
        )
        self.senders_recurred = self.gauge(
            "stopit_senders_recurred",
            "senders",
            "Senders who were sent a notice, and were reported again for mail sent after it.",
            "A share of `stopit_senders_notified` that rises: the notice does not work.",
        )

    def _of_the_loop(self) -> None:
        self.faults = self.counter(
            "stopit_notifier_faults",
            "faults",
            "Faults while the notifier took reports or sent messages, by stage. The work is tried again.",
            "A continuous rise: a store is down, or there is a bug. The log names each fault once.",
            ["stage"],
            [("intake",), ("outbox",), ("gauges",)],
        )
        self.last_success = self.gauge(
            "stopit_notifier_last_success_timestamp_seconds",
            "seconds since the epoch",
            "Time at which the notifier last processed queue and outbox without a fault.",
            "Minutes ago: a store is down. Compare `stopit_notifier_last_turn_timestamp_seconds`.",
        )
        self.last_turn = self.gauge(
            "stopit_notifier_last_turn_timestamp_seconds",
            "seconds since the epoch",
            "Time at which the notifier's loop last finished a turn, with or without a fault.",
            "Minutes ago: the loop hangs, and the watchdog will restart the notifier.",
        )
