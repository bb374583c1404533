"""stopitctl observe-report: the counts of a week in observe mode, and whether it is safe to enforce."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry, start_http_server

from case_rows import report_row
from stopit_core.cases import Party, ReportRow
from stopit_core.decision.policy import Reason
from stopit_core.identity.keys import new_ref
from stopit_core.identity.people import Person
from stopit_core.metrics import MilterMetrics
from stopit_core.model import Assurance, Channel, Command
from stopit_core.outgoing.facts import AcknowledgementFacts, NoticeFacts
from stopit_core.outgoing.render import Renderer
from stopit_ctl.observe_summary import MilterCounts, Summary, UnsentMessages, concerns, summarise

NOW = time.time()
DAY = 86400.0
WELL = MilterCounts(100_000, 0, 99_000, 0, 0, {"decide": 0, "ledger": 0})


def row(number: int, reason: Reason, channel: Channel = Channel.REPLY, observed: bool = True) -> ReportRow:
    at = NOW - DAY * (1 + number % 5)
    return report_row(
        1 + number % 3,
        f"r{number}:0",
        at,
        reason,
        channel=channel,
        reporter=f"vera-{number % 4}@campus.example",
        observed=observed,
    )


def seen(*reasons: Reason, milter: MilterCounts | None = WELL, **values: object) -> Summary:
    rows = [row(number, reason) for number, reason in enumerate(reasons)]
    found = summarise(
        rows,
        UnsentMessages({}, 0),
        milter,
        since=NOW - 7 * DAY,
        until=NOW,
        set_aside=0,
        withholds=True,
        mode="observe",
    )
    return replace(found, **values)  # type: ignore[arg-type]


def undated(text: str) -> str:
    """Return the text without dates."""
    text = re.sub(r'("(since|until)": )\d+', r"\1NOW", text)
    return re.sub(r"\d{4}-\d\d-\d\d( \d\d:\d\d)?", lambda found: "2026-09-14 12:00"[: len(found[0])], text)


class TestConcerns:
    def blocking(self, summary: Summary) -> str:
        return "\n".join(concern.text for concern in concerns(summary) if concern.blocks)

    def test_a_good_week_has_none(self) -> None:
        assert not list(concerns(seen(*[Reason.NOTICE_DUE] * 8)))

    @pytest.mark.parametrize(
        ("milter", "said"),
        [
            (None, "the milter does not answer"),
            (replace(WELL, faults={"decide": 2, "ledger": 0}), "2 faults (decide 2)"),
            (replace(WELL, deferred=1), "1 messages were deferred"),
            (replace(WELL, traces_dropped=7), "7 traces were dropped"),
            (replace(WELL, spooled=1), "1 reports wait in the spool"),
            (replace(WELL, messages=0), "no mail has passed"),
        ],
    )
    def test_what_the_milter_says_blocks(self, milter: MilterCounts | None, said: str) -> None:
        assert said in self.blocking(seen(Reason.NOTICE_DUE, milter=milter))

    def test_a_week_without_a_flag_shows_nothing(self) -> None:
        assert "there was no flag" in self.blocking(seen())

    def test_dead_letters_block(self) -> None:
        assert "3 reports were set aside" in self.blocking(seen(Reason.NOTICE_DUE, set_aside=3))

    def test_many_without_a_trace_block_and_a_few_are_only_named(self) -> None:
        assert "6 of 8" in self.blocking(seen(*[Reason.NO_TRACE] * 6, *[Reason.NOTICE_DUE] * 2))
        few = seen(Reason.NO_TRACE, *[Reason.NOTICE_DUE] * 7)
        assert self.blocking(few) == ""
        assert any("1 of 8" in concern.text for concern in concerns(few))

    def test_mail_from_outside_blocks_nothing(self) -> None:
        outside = seen(*[Reason.SENDER_NOT_SURE] * 8)
        assert self.blocking(outside) == ""
        assert any("8 of 8 flagged messages came from senders without" in each.text for each in concerns(outside))

    def test_staff_s_days_work(self) -> None:
        busy = seen(Reason.URGENT, days={"x": 21})
        assert any("staff would have had 21 cases" in each.text for each in concerns(busy))


def test_a_flag_of_several_messages_is_one_and_only_a_reply_is_kept_back() -> None:
    rows = [
        row(1, Reason.NOTICE_DUE),
        replace(row(1, Reason.NO_TRACE), key="r1:1"),
        row(2, Reason.NOTICE_DUE, Channel.REPORT_ADDRESS),
        row(3, Reason.NOTICE_DUE, observed=False),
    ]
    found = summarise(
        rows, UnsentMessages({}, 0), WELL, since=NOW - 7 * DAY, until=NOW, set_aside=0, withholds=True, mode="observe"
    )
    assert (found.flags, found.decided, found.withheld, found.not_observed) == (2, 3, 1, 1)
    assert sum(found.days.values()) == 1


class TestCommand:
    @pytest.fixture
    def week(self, host) -> Iterator[None]:
        """A site with a week of observe mode, and a running milter."""
        with self.milter(host):
            self.fill(host)
            yield

    @contextmanager
    def milter(self, host) -> Iterator[None]:
        metrics = MilterMetrics(CollectorRegistry())
        metrics.messages.labels("accepted").inc(48_211)
        metrics.messages.labels("flagged").inc(7)
        metrics.traces.labels("written").inc(48_200)
        server, thread = start_http_server(0, addr="127.0.0.1", registry=metrics.registry)
        host.configure(milter={"metrics": f"127.0.0.1:{server.server_port}", "mode": "observe"})
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def fill(self, host) -> None:
        store, settings = host.cases(), host.settings
        renderer = Renderer.load(settings.campus, settings.flag, settings.office, host.keyring)
        reasons = [Reason.NOTICE_DUE, Reason.NOTICE_DUE, Reason.NOTICE_PENDING, Reason.SENDER_NOT_SURE, Reason.URGENT]
        for number, reason in enumerate(reasons):
            sender = Person(f"mallory-{number}@campus.example", Assurance.AUTHENTICATED)
            with store.work() as work:
                case, new = work.case_for(f"sender:{sender.address}", sender, NOW)
                channel = Channel.REPORT_ADDRESS if number == 4 else Channel.REPLY
                work.add_report(replace(row(number, reason, channel), case_id=case.id, sender=sender.address), new)
                facts = AcknowledgementFacts(reason, case.number, Command.FLAG, NOW)
                message = renderer.render(facts, recipient="vera@campus.example", ref=new_ref(), at=NOW)
                work.enqueue(message, case.id, Party.REPORTER, "x", NOW, NOW - 60, observed=True)
                if reason is Reason.NOTICE_DUE:
                    notice = NoticeFacts(case.number, renderer.day(NOW))
                    message = renderer.render(notice, recipient=sender.address, ref=new_ref(), at=NOW)
                    work.enqueue(message, case.id, Party.SENDER, "notice", NOW, NOW - 60, observed=True)

    def test_what_people_read(self, host, week: None, golden: Callable[[str, str], None]) -> None:
        done = host.run("observe-report")
        assert done.exit_code == 0, done.output
        golden("observe-report", undated(done.stdout))
        assert "@" not in done.stdout
        assert max(map(len, done.stdout.splitlines())) <= 80

    def test_what_programs_read(self, host, week: None, golden: Callable[[str, str], None]) -> None:
        done = host.run("observe-report", "--json", "--since", "14d")
        golden("observe-report-json", undated(done.stdout))
        said = json.loads(done.stdout)
        assert said["until"] - said["since"] == 14 * DAY
        assert said["safe"] is True
        assert "@" not in done.stdout

    def test_a_milter_that_is_away(self, host) -> None:
        host.cases()
        host.configure(milter={"metrics": "127.0.0.1:1", "mode": "observe"})
        done = host.run("observe-report")
        assert "Mail: the milter does not answer." in done.stdout
        assert done.stdout.splitlines()[-1].startswith("Not yet:")

    def test_a_time_that_is_none(self, host) -> None:
        done = host.run("observe-report", "--since", "soon")
        assert done.exit_code == 2
        assert '"14d"' in done.stderr
