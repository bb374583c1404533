"""`stopitctl observe-report`: what would have happened, had it not been `milter.mode = "observe"`."""

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
from stopit_ctl.doctor.host import scrape
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
    Outcome.WAIT: "the reporter would be asked first",
    Outcome.RECORD_ONLY: "kept on record only",
    Outcome.STAFF_REVIEW: "staff would decide",
    Outcome.REJECT: "help to the reporter, nothing else",
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
    help="How far back to look, such as 12h or 14d.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs: one object.")
@click.pass_obj
def observe_report(site: Site, since: float, as_json: bool) -> None:
    """What would have happened, had Stopit not only looked on.

    From the case record, where `milter.mode = "observe"` writes down all it
    decides and sends nothing, and from what the milter counts. It has counts
    only, no names. The last line says whether it is safe to go on to
    "enforce"; what stands before it, what to look at first.
    """
    settings = site.settings()
    seen = _seen(site, settings, since)
    found = list(concerns(seen))
    if as_json:
        site.output.text(json.dumps(_as_object(seen, found), indent=2))
        return
    site.output.text("\n".join([*_sums(seen), *_conclusion(seen, found)]))


def _seen(site: Site, settings: Settings, span: float) -> Summary:
    until = site.clock()
    with site.cases(settings) as store, store.reading() as reading:
        rows = reading.reports_since(until - span)
        written = UnsentMessages(*reading.observed_since(until - span))
    try:
        with site.queue(settings) as queue:
            set_aside = queue.depths().dead
    except Transient:
        set_aside = 0  # what the milter says shows that the queue is away
    return summarise(
        rows,
        written,
        _passed(settings.milter.metrics),
        since=until - span,
        until=until,
        set_aside=set_aside,
        withholds=settings.milter.reply == "withhold",
        mode=settings.milter.mode,
    )


def _passed(address: str) -> MilterCounts | None:
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
        put_off=count("stopit_milter_messages_total", "tempfailed"),
        traces_written=count("stopit_traces_total", "written"),
        traces_dropped=count("stopit_traces_total", "dropped"),
        spooled=count("stopit_spool_depth", ""),
        faults=faults,
    )


def _sums(seen: Summary) -> Iterator[str]:
    yield f"What would have happened from {local_time(seen.since)[:16]} to {local_time(seen.until)[:16]}"
    yield from _block(
        "Flags",
        [
            *((f"by {name.replace('-', ' ')}", count) for name, count in seen.channels.items()),
            ("in all", seen.flags),
            ("members who flagged", seen.reporters),
        ],
    )
    for outcome, words in _OUTCOMES.items():
        if seen.of_outcome(outcome):
            reasons = [reason for reason in Reason if reason.outcome is outcome and seen.decisions.get(reason)]
            yield from _block(
                f"Decided: {words}",
                [(reason.value, seen.decisions[reason]) for reason in reasons],
            )
    kinds = [(words, seen.written.kinds.get(kind.value, 0)) for kind, words in _KINDS.items()]
    yield from _block(
        "Would have been sent, or kept back",
        [
            *((words, count) for words, count in kinds if count or not words.startswith("firmer")),
            ("senders who would have had a notice", seen.written.senders),
            ("replies kept back from those they were to", seen.withheld),
        ],
    )
    busiest = max(seen.days.items(), key=lambda day: day[1], default=("", 0))
    yield from _block(
        "Cases for staff",
        [
            ("in all", sum(seen.days.values())),
            ("a day", round(seen.staff_a_day, 1)),
            (f"on the busiest day ({busiest[0]})", busiest[1]),
        ],
    )
    yield from _of_the_milter(seen.passed)
    if seen.not_observed:
        yield ""
        yield from _wrapped(f"Left out: {seen.not_observed} flags that were not seen in observe mode.", "")


def _of_the_milter(passed: MilterCounts | None) -> Iterator[str]:
    if passed is None:
        yield ""
        yield "Mail: the milter does not answer."
        return
    yield from _block(
        "Mail since the milter was started",
        [
            ("messages", passed.messages),
            ("put off", passed.put_off),
            ("traces written", passed.traces_written),
            ("traces dropped", passed.traces_dropped),
            ("faults", sum(passed.faults.values())),
            ("reports in the spool", passed.spooled),
        ],
    )


def _conclusion(seen: Summary, found: Sequence[Concern]) -> Iterator[str]:
    staff = seen.of_outcome(Outcome.STAFF_REVIEW)
    looks = [concern.what for concern in found]
    if staff:
        looks.append(f"{staff} decisions would be staff's: `stopitctl cases list --state staff` shows their cases")
    if looks:
        yield ""
        yield "Look at this first:"
    for what in looks:
        yield from _wrapped(what[0].upper() + what[1:] + ("" if what.endswith("?") else "."), "- ")
    yield ""
    if any(concern.blocks for concern in found):
        yield 'Not yet: look at these before you set milter.mode = "enforce".'
    elif seen.mode == "observe":
        yield 'It is safe: set milter.mode = "enforce", and reload both daemons.'
    else:
        yield 'All is well, and milter.mode is "enforce" already.'


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


def _as_object(seen: Summary, found: Sequence[Concern]) -> dict[str, Any]:
    passed = seen.passed
    return {
        "since": round(seen.since),
        "until": round(seen.until),
        "mode": seen.mode,
        "flags": {"all": seen.flags, "reporters": seen.reporters, "by_channel": dict(seen.channels)},
        "decisions": [
            {"outcome": reason.outcome.value, "reason": reason.value, "count": count}
            for reason in Reason
            if (count := seen.decisions.get(reason, 0))
        ],
        "would_send": dict(seen.written.kinds),
        "senders": seen.written.senders,
        "would_withhold": seen.withheld,
        "staff_cases_by_day": dict(seen.days),
        "not_observed": seen.not_observed,
        "set_aside": seen.set_aside,
        "milter": None
        if passed is None
        else {
            "messages": passed.messages,
            "put_off": passed.put_off,
            "traces_written": passed.traces_written,
            "traces_dropped": passed.traces_dropped,
            "spooled": passed.spooled,
            "faults": dict(passed.faults),
        },
        "safe": not any(concern.blocks for concern in found),
        "look_at": [{"what": concern.what, "blocks": concern.blocks} for concern in found],
    }
