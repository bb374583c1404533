"""The notifier is killed at each failpoint and started again: one notice, one acknowledgement."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from stopit_lab.crash import ForkedNotifier
from stopit_lab.people import Cast
from stopit_lab.site import Site, Stores
from stopit_lab.story import Story
from stopit_notifier.failpoints import Failpoint

pytestmark = pytest.mark.integration

INTAKE = [
    Failpoint.REPORT_CLAIMED,
    Failpoint.ORIGINALS_FOUND,
    Failpoint.BEFORE_COMMIT,
    Failpoint.AFTER_COMMIT,
    Failpoint.ACKNOWLEDGED,
]
SENDING = [
    Failpoint.MESSAGE_CLAIMED,
    Failpoint.CONNECTED,
    Failpoint.RECIPIENT_ACCEPTED,
    Failpoint.BEFORE_DATA,
    Failpoint.BEFORE_DOT,
    Failpoint.AFTER_DOT,
    Failpoint.ACCEPTED,
    Failpoint.BEFORE_MARK,
    Failpoint.MARKED_SENT,
]
IN_A_BATCH = [
    Failpoint.MESSAGE_CLAIMED,
    Failpoint.CONNECTED,
    Failpoint.BEFORE_DATA,
    Failpoint.AFTER_DOT,
    Failpoint.ACCEPTED,
]
RECOVERY = [Failpoint.RECOVERING, Failpoint.RECOVERED]

_SOON = {"queue": {"lease": "1s"}, "policy": {"notice_delay": ["0.2s", "0.2s"]}}
"""Waits shorter than the lab's. The time in which the MTA must reply (`settle`) stays: it may be slow."""

ACKNOWLEDGEMENT, NOTICE = 1, 2
"""The order in which a case's messages are sent."""

POINTS = [
    *((failpoint, 1) for failpoint in INTAKE),
    *((failpoint, message) for failpoint in SENDING for message in (ACKNOWLEDGEMENT, NOTICE)),
    (Failpoint.WATCHED, 1),
]


@pytest.fixture(scope="module", params=list(Stores), ids=lambda stores: stores.value)
def crash_site(request: pytest.FixtureRequest, servers: None) -> Iterator[Site]:
    """Run a site on which nothing happens but the story of the test."""
    site = Site(request.param, values=_SOON)
    site.notifier = ForkedNotifier("stopit-notifier", site.config, site.directory)
    with site:
        yield site


def _dies(site: Site, failpoint: Failpoint, passes: int) -> None:
    """Run a notifier until it has died at the n-th pass of this failpoint."""
    notifier = ForkedNotifier("crashing-notifier", site.config, site.directory, failpoint, passes)
    try:
        notifier.launch()
        assert notifier.wait() == -signal.SIGKILL, notifier.log_text()
    finally:
        notifier.kill()


@pytest.mark.parametrize(("failpoint", "passes"), POINTS, ids=lambda value: str(value))
def test_killed_at(crash_site: Site, cast: Cast, failpoint: Failpoint, passes: int) -> None:
    story = Story(crash_site, cast)
    original = story.write()

    crash_site.notifier.kill()
    flag = story.flag(original)
    try:
        _dies(crash_site, failpoint, passes)
    finally:
        crash_site.notifier.start()

    _once(story)
    assert not story.has(cast.mallory, flag)


@pytest.mark.parametrize("second", RECOVERY, ids=lambda value: str(value))
@pytest.mark.parametrize("first", [Failpoint.BEFORE_DOT, Failpoint.AFTER_DOT], ids=lambda value: str(value))
def test_killed_again_during_recovery(crash_site: Site, cast: Cast, first: Failpoint, second: Failpoint) -> None:
    story = Story(crash_site, cast)
    original = story.write()

    crash_site.notifier.kill()
    story.flag(original)
    try:
        _dies(crash_site, first, NOTICE)
        _dies(crash_site, second, 1)
    finally:
        crash_site.notifier.start()

    _once(story)


@pytest.mark.parametrize("failpoint", IN_A_BATCH, ids=lambda value: str(value))
def test_killed_in_the_middle_of_a_batch(crash_site: Site, cast: Cast, failpoint: Failpoint) -> None:
    """Four acknowledgements are sent pipelined; Postfix has some of them, and the record does not know it."""
    story = Story(crash_site, cast)
    reporters = [cast.vera, cast.walt, cast.bob, cast.eve]
    original = story.write(recipients=reporters)

    crash_site.notifier.kill()
    for reporter in reporters:
        story.flag(original, reporter)
    try:
        _dies(crash_site, failpoint, 3)
    finally:
        crash_site.notifier.start()

    story.notice()
    for reporter in reporters:
        story.acknowledgement(reporter)
    crash_site.wait_until_idle()
    assert len(story.notices()) == 1
    assert [len(story.service_mail(reporter)) for reporter in reporters] == [1] * 4


def test_every_failpoint_is_tried() -> None:
    tried = {failpoint for failpoint, _ in POINTS} | set(RECOVERY)
    assert tried == set(Failpoint)


def _once(story: Story) -> None:
    story.notice()
    story.acknowledgement()
    story.site.wait_until_idle()
    assert len(story.notices()) == 1
    assert len(story.service_mail(story.cast.vera)) == 1
