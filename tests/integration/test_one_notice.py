"""A sender gets one notice for any number of flags, and mail after it is counted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from stopit_lab.messages import message
from stopit_lab.people import Cast
from stopit_lab.site import Site
from stopit_lab.story import Story
from stopit_lab.waiting import until

pytestmark = pytest.mark.integration

Settled = Callable[[Site], None]


def test_many_flags_one_notice(story: Story, casts: Iterator[Cast], nothing_more_is_sent: Settled) -> None:
    vera = story.cast.vera
    others = [person for cast in (next(casts), next(casts)) for person in _five(cast)]
    original = story.write(recipients=[vera, *others])

    story.flag(original, author=vera)
    story.flag(original, author=vera)
    for other in others:
        story.flag(original, author=other)
    for reporter in (vera, *others):
        assert story.acknowledgement(reporter)
    notice = story.notice()
    nothing_more_is_sent(story.site)

    assert len(others) == 10
    assert len(story.notices()) == 1
    assert [person for person in (vera, *others) if person.partition("@")[0] in notice] == []


def test_two_reporters_notices_do_not_differ(site: Site, casts: Iterator[Cast]) -> None:
    """The same message reported by vera, and by walt at another time: mallory could not tell which."""
    stories = [Story(site, next(casts)) for _ in range(2)]
    reporters = [stories[0].cast.vera, stories[1].cast.walt]
    for story, reporter in zip(stories, reporters, strict=True):
        story.flag(story.write(), author=reporter)

    first, second = (_masked(story) for story in stories)

    assert first == second


def test_contact_after_the_notice_is_counted(story: Story) -> None:
    def contacts() -> float:
        return story.site.notifier_metrics().value("stopit_contacts_after_notice_total")

    story.flag(story.write())
    story.notice()
    before = contacts()

    def counted_after_another_message() -> bool:
        again = message(story.cast.mallory, [story.cast.vera], "Me again", "I am not done.")
        assert story.site.submit(again, story.cast.mallory, [story.cast.vera]).accepted
        story.find(story.cast.vera, again)
        return contacts() > before

    until(counted_after_another_message, "a contact after the notice in the metrics")


def _five(cast: Cast) -> tuple[str, ...]:
    return (cast.mallory, cast.vera, cast.walt, cast.bob, cast.eve)


def _masked(story: Story) -> str:
    """Return the notice without the parts that differ between messages: tokens, dates, queue ids, account, case."""
    text = story.notice().raw.decode("ascii")
    own = [
        rf"{re.escape(story.cast.mallory)}",
        r"(?<=stopit\+)[a-z2-7]{32}",
        r"(?<=<stopit\.)[a-z2-7]{16}",
        r"(?<=id )[0-9A-F]{8,}",
        r"\w{3}, \d+ \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}",
        r"(?<=number of this case is )\S+",
    ]
    masked = re.sub("|".join(own), "_", text)
    assert masked.count("_") >= len(own), masked
    return masked
