"""`stopitctl observe-report`: report what Stopit would have done without observe mode."""

from __future__ import annotations

import http.client
import json
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import click

from stopit_core.config import Settings
from stopit_core.config.values import parse_duration
from stopit_core.decision.policy import Outcome, Reason
from stopit_core.errors import Transient
from stopit_core.outgoing.facts import MessageKind
from stopit_ctl.console_output import local_time
from stopit_ctl.doctor.metrics import scrape
from stopit_ctl.local_site import Site
from stopit_ctl.observe_summary import Concern, MilterCounts, Summary, UnsentMessages, concerns, summarise

__all__ = ["observe_report"]

_WIDTH = 78
_NAME = 44
_KINDS = {
    MessageKind.NOTICE: "notices to senders",
    MessageKind.FIRMER_NOTICE: "firmer notices to senders",
    MessageKind.ACKNOWLEDGEMENT: "acknowledgements to reporters",
    MessageKind.STAFF_ALERT: "alerts to staff",
}
_OUTCOMES = {
    Outcome.NOTICE: "a notice to the sender",
    Outcome.WAIT: "ask the reporter first",
    Outcome.RECORD_ONLY: "record only",
    Outcome.STAFF_REVIEW: "staff decide",
    Outcome.REJECT: "help for the reporter only",
}


class _Duration(click.ParamType):  # type: ignore[type-arg]
    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command("observe-report")
@click.option(
    "--since",
    metavar="TIME",
    type=_Duration(),
    default="7d",
    show_default=True,
    help="Length of the period, such as 12h or 14d.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object, for programs.")
@click.pass_obj
def observe_report(site: Site, since: float, as_json: bool) -> None:
    """Report what Stopit would have done in observe mode.

    With `milter.mode = "observe"`, every decision is in the case record and
    nothing is sent. The report is made from the case record and from the
    milter's metrics, and contains counts only, no names. The last line says
    whether it is safe to switch to "enforce", and the lines before it what to
    check first.
    """
    settings = site.settings()
    summary = _summary(site, settings, since)
    found = list(concerns(summary))
    if as_json:
        site.output.text(json.dumps(_as_object(summary, found), indent=2))
        return
    site.output.text("\n".join([*_sums(summary), *_conclusion(summary, found)]))


def _summary(site: Site, settings: Settings, span: float) -> Summary:
    until = site.clock()
    with site.cases(settings) as store, store.reading() as reading:
        rows = reading.reports_since(until - span)
        unsent = UnsentMessages(*reading.observed_since(until - span))
    try:
        with site.queue(settings) as queue:
            set_aside = queue.depths().dead
    except Transient:
        set_aside = 0  # the reports in the spool show that the queue is not available
    return summarise(
        rows,
        unsent,
        _scrape_milter(settings.milter.metrics),
        since=until - span,
        until=until,
        set_aside=set_aside,
        withholds=settings.milter.reply == "withhold",
        mode=settings.milter.mode,
    )


def _scrape_milter(address: str) -> MilterCounts | None:
    try:
        values = scrape(address)
    except (OSError, ValueError, http.client.HTTPException):
        return None
    if not any(name == "stopit_milter_messages_total" for name, _ in values):
        return None

    def count(name: str, label: str) -> int:
        return int(values.get((name, label), 0.0))

    faults = {label: int(value) for (name, label), value in values.items() if name == "stopit_milter_faults_total"}
    return MilterCounts(
        messages=int(sum(value for (name, _), value in values.items() if name == "stopit_milter_messages_total")),
        deferred=count("stopit_milter_messages_total", "tempfailed"),
        traces_written=count("stopit_traces_total", "written"),
        traces_dropped=count("stopit_traces_total", "dropped"),
        spooled=count("stopit_spool_depth", ""),
        faults=faults,
    )


def _sums(summary: Summary) -> Iterator[str]:
    yield f"What Stopit would have done from {local_time(summary.since)[:16]} to {local_time(summary.until)[:16]}"
    yield from _block(
        "Flags",
        [
            *((f"by {name.replace('-', ' ')}", count) for name, count in summary.channels.items()),
            ("total", summary.flags),
            ("reporters", summary.reporters),
        ],
    )
    for outcome, words in _OUTCOMES.items():
        if summary.of_outcome(outcome):
            reasons = [reason for reason in Reason if reason.outcome is outcome and summary.decisions.get(reason)]
            yield from _block(
                f"Decided: {words}",
                [(reason.value, summary.decisions[reason]) for reason in reasons],
            )
    kinds = [(words, summary.unsent.kinds.get(kind.value, 0)) for kind, words in _KINDS.items()]
    yield from _block(
        "Would have been sent, or withheld",
        [
            *((words, count) for words, count in kinds if count or not words.startswith("firmer")),
            ("senders who would have got a notice", summary.unsent.senders),
            ("replies withheld from their recipients", summary.withheld),
        ],
    )
    busiest = max(summary.days.items(), key=lambda day: day[1], default=("", 0))
    yield from _block(
        "Cases for staff",
        [
            ("total", sum(summary.days.values())),
            ("a day", round(summary.staff_a_day, 1)),
            (f"on the busiest day ({busiest[0]})", busiest[1]),
        ],
    )
    yield from _milter_counts(summary.milter)
    if summary.not_observed:
        yield ""
        yield from _wrapped(f"Not included: {summary.not_observed} flags from outside observe mode.", "")


def _milter_counts(counts: MilterCounts | None) -> Iterator[str]:
    if counts is None:
        yield ""
        yield "Mail: the milter does not answer."
        return
    yield from _block(
        "Mail since the milter started",
        [
            ("messages", counts.messages),
            ("deferred", counts.deferred),
            ("traces written", counts.traces_written),
            ("traces dropped", counts.traces_dropped),
            ("faults", sum(counts.faults.values())),
            ("reports in the spool", counts.spooled),
        ],
    )


def _conclusion(summary: Summary, found: Sequence[Concern]) -> Iterator[str]:
    staff = summary.of_outcome(Outcome.STAFF_REVIEW)
    looks = [concern.text for concern in found]
    if staff:
        looks.append(f"staff would have made {staff} decisions: `stopitctl cases list --state staff` shows the cases")
    if looks:
        yield ""
        yield "Check this first:"
    for what in looks:
        yield from _wrapped(what[0].upper() + what[1:] + ("" if what.endswith("?") else "."), "- ")
    yield ""
    if any(concern.blocks for concern in found):
        yield 'Not yet: check these before you set milter.mode = "enforce".'
    elif summary.mode == "observe":
        yield 'It is safe: set milter.mode = "enforce", and reload both daemons.'
    else:
        yield 'No fault was found, and milter.mode is "enforce" already.'


def _block(title: str, pairs: Sequence[tuple[str, float]]) -> Iterator[str]:
    yield ""
    yield title
    for name, count in pairs:
        yield f"  {name:<{_NAME}}{count:>10,}"


def _wrapped(text: str, mark: str) -> list[str]:
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=mark,
        subsequent_indent=" " * len(mark),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _as_object(summary: Summary, found: Sequence[Concern]) -> dict[str, Any]:
    counts = summary.milter
    return {
        "since": round(summary.since),
        "until": round(summary.until),
        "mode": summary.mode,
        "flags": {"all": summary.flags, "reporters": summary.reporters, "by_channel": dict(summary.channels)},
        "decisions": [
            {"outcome": reason.outcome.value, "reason": reason.value, "count": count}
            for reason in Reason
            if (count := summary.decisions.get(reason, 0))
        ],
        "would_send": dict(summary.unsent.kinds),
        "senders": summary.unsent.senders,
        "would_withhold": summary.withheld,
        "staff_cases_by_day": dict(summary.days),
        "not_observed": summary.not_observed,
        "set_aside": summary.set_aside,
        "milter": None
        if counts is None
        else {
            "messages": counts.messages,
            "put_off": counts.deferred,
            "traces_written": counts.traces_written,
            "traces_dropped": counts.traces_dropped,
            "spooled": counts.spooled,
            "faults": dict(counts.faults),
        },
        "safe": not any(concern.blocks for concern in found),
        "look_at": [{"what": concern.text, "blocks": concern.blocks} for concern in found],
    }
