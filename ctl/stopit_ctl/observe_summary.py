"""Summarises a period of observe mode, and tells whether it is safe to switch to enforce. Pure.

The summary contains counts only, no address, case or Message-ID.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from stopit_core.cases import ReportRow
from stopit_core.decision.policy import Outcome, Reason
from stopit_core.model import Channel

__all__ = ["Concern", "MilterCounts", "Summary", "UnsentMessages", "concerns", "summarise"]

_MIN_DECISIONS = 5
"""Minimum number of decisions for a share to be meaningful."""
_LARGE_SHARE = 0.25
_CASES_A_DAY = 20
_DAY = 86400.0

_WITHOUT_TRACE = (Reason.NO_TRACE, Reason.NOT_A_RECIPIENT, Reason.AMBIGUOUS)
_BY_REPLY = (Channel.REPLY, Channel.HEADER)


@dataclass(frozen=True, slots=True)
class UnsentMessages:
    """The messages that were written and not sent: counts by kind, and the number of senders of the notices."""

    kinds: Mapping[str, int]
    senders: int


@dataclass(frozen=True, slots=True)
class MilterCounts:
    """The counts of the milter since it started; `faults` by stage."""

    messages: int
    deferred: int
    traces_written: int
    traces_dropped: int
    spooled: int
    faults: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Concern:
    """A finding to check, and where to look. `blocks`: it is not safe to enforce before it is resolved."""

    text: str
    blocks: bool = True


@dataclass(frozen=True, slots=True)
class Summary:
    """The counts of a period.

    `since` and `until` are seconds since the epoch. `days` maps a date, in this host's time zone, to the number of
    cases for staff. `milter` is None when the milter does not answer.
    """

    since: float
    until: float
    flags: int
    reporters: int
    channels: Mapping[str, int]
    decisions: Mapping[Reason, int]
    withheld: int
    unsent: UnsentMessages
    days: Mapping[str, int]
    not_observed: int
    milter: MilterCounts | None
    set_aside: int
    mode: str

    @property
    def staff_a_day(self) -> float:
        """Return the average number of cases for staff a day."""
        return sum(self.days.values()) / max(1.0, (self.until - self.since) / _DAY)

    @property
    def decided(self) -> int:
        """Return the number of decisions."""
        return sum(self.decisions.values())

    def of_outcome(self, outcome: Outcome) -> int:
        """Return the number of decisions with this outcome."""
        return sum(count for reason, count in self.decisions.items() if reason.outcome is outcome)


def summarise(
    rows: Sequence[ReportRow],
    unsent: UnsentMessages,
    milter: MilterCounts | None,
    *,
    since: float,
    until: float,
    set_aside: int,
    withholds: bool,
    mode: str,
) -> Summary:
    """Summarise the decisions. `withholds`: the site withholds replies; `set_aside`: the number of dead letters."""
    seen = [row for row in rows if row.observed]
    flags = {row.key.partition(":")[0]: row for row in seen}
    staff = {(_day(row.decided_at), row.case_id) for row in seen if row.outcome is Outcome.STAFF_REVIEW}
    days = Counter(dict.fromkeys(_days(since, until), 0))
    days.update(day for day, _ in staff)
    channels = Counter(row.channel.value for row in flags.values())
    return Summary(
        since=since,
        until=until,
        flags=len(flags),
        reporters=len({row.reporter for row in seen if row.reporter}),
        channels={channel.value: channels[channel.value] for channel in Channel},
        decisions=Counter(row.reason for row in seen),
        withheld=sum(row.channel in _BY_REPLY for row in flags.values()) if withholds else 0,
        unsent=unsent,
        days=dict(sorted(days.items())),
        not_observed=len({row.key.partition(":")[0] for row in rows if not row.observed}),
        milter=milter,
        set_aside=set_aside,
        mode=mode,
    )


def concerns(summary: Summary) -> Iterator[Concern]:
    """Return what to check, the most important first."""
    if summary.milter is None:
        yield Concern("the milter does not answer, so its losses are not known: `stopitctl doctor`")
    else:
        yield from map(Concern, _milter_concerns(summary.milter))
    if summary.set_aside:
        yield Concern(f"{summary.set_aside} reports were set aside: `stopitctl queue list --dead`")
    if not summary.flags:
        yield Concern("there was no flag: flag a message yourself, and run this again")
        return
    without = sum(summary.decisions.get(reason, 0) for reason in _WITHOUT_TRACE)
    if without:
        yield Concern(
            f"{without} of {summary.decided} flagged messages had no matching trace: they passed before the "
            "milter was installed, by a service that does not ask it, or twice by one that does. `stopitctl doctor` "
            "checks the services",
            _is_large(without, summary.decided),
        )
    if no_login := summary.decisions.get(Reason.SENDER_NOT_SURE, 0):
        yield Concern(
            f"{no_login} of {summary.decided} flagged messages came from senders without a login. That is normal for "
            "mail from outside; if members sent them, `stopitctl doctor --send-test` with --test-login shows whether "
            "the milter is told the login",
            blocks=False,
        )
    if unknown := summary.decisions.get(Reason.REPORTER_NOT_VERIFIED, 0):
        yield Concern(
            f"{unknown} of {summary.decided} flags came from people who could not be verified as members: see "
            "[identity] in stopit.toml",
            blocks=False,
        )
    if (busiest := max(summary.days.values(), default=0)) > _CASES_A_DAY:
        yield Concern(f"staff would have had {busiest} cases on one day: are there enough staff?", blocks=False)


def _milter_concerns(counts: MilterCounts) -> Iterator[str]:
    faults = sum(counts.faults.values())
    if faults:
        stages = ", ".join(f"{stage} {count}" for stage, count in counts.faults.items() if count)
        yield f"the milter had {faults} faults ({stages}): journalctl -u stopit-milter shows each"
    if counts.deferred:
        yield f"{counts.deferred} messages were deferred: journalctl -u stopit-milter shows why"
    if counts.traces_dropped:
        yield f"{counts.traces_dropped} traces were dropped: the ledger is too slow, or was not available"
    if counts.spooled:
        yield f"{counts.spooled} reports wait in the spool: the queue is not available"
    if not counts.messages:
        yield "no mail has passed the milter since it started: `stopitctl setup postfix`"


def _is_large(part: int, whole: int) -> bool:
    return whole >= _MIN_DECISIONS and part / whole >= _LARGE_SHARE


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(at))


def _days(since: float, until: float) -> Iterator[str]:
    """Return each date from one time to the other, in this host's time zone."""
    at = since
    while at < until:
        yield _day(at)
        at += _DAY
    yield _day(until)
