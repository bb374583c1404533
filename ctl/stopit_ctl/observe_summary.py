"""What a week of looking on has shown, added up, and whether it is safe to go on to enforce. Pure.

Counts only: no address, case or Message-ID goes in, so none can come out.
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

_FEW = 5
"""Of fewer decisions a share says nothing."""
_MANY = 0.25
_A_DAY_S_WORK = 20
_DAY = 86400.0

_WITHOUT_TRACE = (Reason.NO_TRACE, Reason.NOT_A_RECIPIENT, Reason.AMBIGUOUS)
_BY_REPLY = (Channel.REPLY, Channel.HEADER)


@dataclass(frozen=True, slots=True)
class UnsentMessages:
    """Messages that were written and not sent: how many of each kind, and to how many senders the notices went."""

    kinds: Mapping[str, int]
    senders: int


@dataclass(frozen=True, slots=True)
class MilterCounts:
    """What the milter counts since it was started; `faults` by stage. None of it where it does not answer."""

    messages: int
    put_off: int
    traces_written: int
    traces_dropped: int
    spooled: int
    faults: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Concern:
    """One thing to look at: what it is, and where to look. `blocks`: not safe while it is so."""

    what: str
    blocks: bool = True


@dataclass(frozen=True, slots=True)
class Summary:
    """The sums. `since` and `until` are seconds since the epoch; `days` maps a date, in this host's own zone, to its
    cases for staff."""

    since: float
    until: float
    flags: int
    reporters: int
    channels: Mapping[str, int]
    decisions: Mapping[Reason, int]
    withheld: int
    written: UnsentMessages
    days: Mapping[str, int]
    not_observed: int
    passed: MilterCounts | None
    set_aside: int
    mode: str

    @property
    def staff_a_day(self) -> float:
        """Cases for staff, on an average day."""
        return sum(self.days.values()) / max(1.0, (self.until - self.since) / _DAY)

    @property
    def decided(self) -> int:
        """How many decisions."""
        return sum(self.decisions.values())

    def of_outcome(self, outcome: Outcome) -> int:
        """How many decisions came out so."""
        return sum(count for reason, count in self.decisions.items() if reason.outcome is outcome)


def summarise(
    rows: Sequence[ReportRow],
    written: UnsentMessages,
    passed: MilterCounts | None,
    *,
    since: float,
    until: float,
    set_aside: int,
    withholds: bool,
    mode: str,
) -> Summary:
    """The sums over what was decided. `withholds`: the site keeps replies back; `set_aside`: dead letters."""
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
        written=written,
        days=dict(sorted(days.items())),
        not_observed=len({row.key.partition(":")[0] for row in rows if not row.observed}),
        passed=passed,
        set_aside=set_aside,
        mode=mode,
    )


def concerns(seen: Summary) -> Iterator[Concern]:
    """What to look at, what weighs most first."""
    if seen.passed is None:
        yield Concern("the milter does not answer, so what it dropped is not known: `stopitctl doctor`")
    else:
        yield from map(Concern, _of_the_milter(seen.passed))
    if seen.set_aside:
        yield Concern(f"{seen.set_aside} reports were set aside: `stopitctl queue list --dead`")
    if not seen.flags:
        yield Concern("no flag was seen: flag a message yourself, and run this again")
        return
    without = sum(seen.decisions.get(reason, 0) for reason in _WITHOUT_TRACE)
    if without:
        yield Concern(
            f"{without} of {seen.decided} flagged messages had no trace that fits: they passed before the milter was "
            "there, by a way without it, or twice by one with it. `stopitctl doctor` looks at the doors",
            _is_much(without, seen.decided),
        )
    if no_login := seen.decisions.get(Reason.SENDER_NOT_SURE, 0):
        yield Concern(
            f"{no_login} of {seen.decided} flagged messages came from senders without a login. That is right for "
            "mail from outside; if members sent them, `stopitctl doctor --send-test` with --test-login shows whether "
            "the milter is told who logs in",
            blocks=False,
        )
    if unknown := seen.decisions.get(Reason.REPORTER_NOT_VERIFIED, 0):
        yield Concern(
            f"{unknown} of {seen.decided} flags came from people who are not surely members: [identity] in "
            "stopit.toml says who is",
            blocks=False,
        )
    if (busiest := max(seen.days.values(), default=0)) > _A_DAY_S_WORK:
        yield Concern(f"staff would have had {busiest} cases on one day: are there people for that?", blocks=False)


def _of_the_milter(passed: MilterCounts) -> Iterator[str]:
    faults = sum(passed.faults.values())
    if faults:
        stages = ", ".join(f"{stage} {count}" for stage, count in passed.faults.items() if count)
        yield f"the milter had {faults} faults ({stages}): journalctl -u stopit-milter has a line each"
    if passed.put_off:
        yield f"{passed.put_off} messages were put off: journalctl -u stopit-milter says why"
    if passed.traces_dropped:
        yield f"{passed.traces_dropped} traces were dropped: the ledger is too slow, or was away"
    if passed.spooled:
        yield f"{passed.spooled} reports wait in the spool: the queue is away"
    if not passed.messages:
        yield "the milter has seen no mail since it was started: `stopitctl setup postfix`"


def _is_much(part: int, whole: int) -> bool:
    return whole >= _FEW and part / whole >= _MANY


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(at))


def _days(since: float, until: float) -> Iterator[str]:
    """Each date from one time to the other, in this host's own zone."""
    at = since
    while at < until:
        yield _day(at)
        at += _DAY
    yield _day(until)
