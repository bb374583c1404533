"""A site is backed up while it works, destroyed, and brought back, with the commands of docs/backup.md."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from stopit_core import config
from stopit_core.cases import CaseStore
from stopit_core.cases.reading import Reading
from stopit_core.cases.schema import metadata
from stopit_lab.messages import reply
from stopit_lab.people import Cast
from stopit_lab.postgresql import PostgreSql
from stopit_lab.site import Site
from stopit_lab.story import Story
from stopit_lab.waiting import until

pytestmark = pytest.mark.integration

PAGE = (Path(__file__).parents[2] / "docs" / "backup.md").read_text("utf-8")
BACKUPS = "/var/backups/stopit"


def as_the_page_says(site: Site, command: str) -> str:
    """Run a command of docs/backup.md with the backups of this site, and return its output."""
    assert command in re.findall(r"^stopitctl .*$", PAGE, re.M)
    return site.ctl(*shlex.split(command.replace(BACKUPS, str(site.directory)))[1:])


def destroy(site: Site) -> None:
    """Remove what is lost with a disk: every store, configuration and key."""
    for daemon in (site.milter, site.notifier):
        daemon.kill()
    for path in [*site.directory.glob("*.db*"), site.config, site.directory / "site.key"]:
        path.unlink()
    shutil.rmtree(site.directory / "spool")


def start(site: Site) -> None:
    site.milter.start()
    site.notifier.start()


def delay(site: Site, time: str) -> None:
    site.configure({"policy": {"notice_delay": [time, time]}})
    site.notifier.reload()


@contextmanager
def record(site: Site) -> Iterator[Reading]:
    """Open the case record of the site."""
    with closing(CaseStore(config.load(site.config).cases.url)) as store, store.reading() as reading:
        yield reading


def reasons(site: Site) -> list[str]:
    """Return the reasons of all decisions. The history of every case must hold."""
    with record(site) as reading:
        cases = reading.list_cases(None, 100)
        assert [reading.broken_at(case) for case in cases] == [None] * len(cases)
        return [row.reason.value for case in cases for row in reading.reports(case)]


def history(site: Site, number: str) -> list[str]:
    with record(site) as reading:
        return [event.kind.value for event in reading.events(reading.case(number))]


def test_nothing_is_lost_and_no_notice_goes_out_twice(make_site, nothing_more_is_sent, casts) -> None:
    site = make_site()
    closed, forgotten, called_off, waiting = (Story(site, next(casts)) for _ in range(4))
    closed.flag(closed.write())
    closed.notice()
    delay(site, "1h")
    called_off.flag(called_off.write())
    told = called_off.acknowledgement()
    delay(site, "8s")
    forgotten.flag(forgotten.write())
    forgotten.acknowledgement()
    original = waiting.write()
    site.wait_until_traced(original)
    site.notifier.terminate()  # so that a report waits
    waiting.flag(original)

    as_the_page_says(site, "stopitctl backup /var/backups/stopit/today")

    # After the backup, two notices are sent and one is cancelled.
    site.configure({"policy": {"notice_delay": ["1s", "1s"]}})
    site.notifier.start()
    forgotten.notice()
    waiting.notice()
    site.submit(reply(told.message, called_off.cast.vera, "cancel"), called_off.cast.vera, [address_of(told)])
    until(lambda: len(called_off.service_mail(called_off.cast.vera)) == 2, "the answer to the cancel")
    destroy(site)

    said = as_the_page_says(site, "stopitctl restore /var/backups/stopit/today")
    assert "cases: 3, reports: 1" in said
    left_to_staff = re.findall(r"notice of case (\S+)\.", said)
    assert len(left_to_staff) == 2
    site.configure({"policy": {"notice_delay": ["1s", "1s"]}})
    start(site)

    until(lambda: "restored" in reasons(site), "the decision on the report that waited")
    nothing_more_is_sent(site)
    for story in (closed, forgotten, waiting):
        assert len(story.notices()) == 1
    assert called_off.notices() == []
    for number in left_to_staff:
        site.staff.wait_for(
            lambda mail, number=number: number in mail.text and "may have been forgotten" in mail.header("Subject"),
            f"the alert about {number}",
        )
    acknowledged = closed.acknowledgement()
    answer = reply(acknowledged.message, closed.cast.vera, "Thank you, it stopped.")
    site.submit(answer, closed.cast.vera, [address_of(acknowledged)])
    until(lambda: "answered" in history(site, closed.case_number(acknowledged)), "the answer on the case")
    assert "The history is intact" in site.ctl("cases", "show", closed.case_number(acknowledged))


def test_a_site_moves_with_all_that_waits(
    make_site, cast: Cast, postgresql_process: PostgreSql, nothing_more_is_sent
) -> None:
    """The case record of the new site is in PostgreSQL, which assigns its own ids."""
    url = postgresql_process.new_database()
    site = make_site(values={"cases": {"url": url}, "policy": {"notice_delay": ["10s", "10s"]}})
    story = Story(site, cast)
    story.flag(story.write())
    story.acknowledgement()
    for daemon in (site.notifier, site.milter):
        daemon.terminate()

    as_the_page_says(site, "stopitctl backup /var/backups/stopit/move")
    destroy(site)
    wipe(url)
    as_the_page_says(site, "stopitctl restore --nothing-since /var/backups/stopit/move")
    assert story.notices() == []
    start(site)

    story.notice()
    nothing_more_is_sent(site)
    assert len(story.notices()) == 1
    assert len(reasons(site)) == 2  # a new case beside the restored one


def address_of(received) -> str:
    return received.header("Reply-To").strip("<>")


def wipe(url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        metadata.drop_all(connection)
        connection.execute(text("DROP TABLE alembic_version"))
    engine.dispose()
