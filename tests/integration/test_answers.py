"""Answers to what Stopit sends come back by its reply addresses, and count only from whom they may."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stopit_lab.mailbox import Received
from stopit_lab.messages import reply
from stopit_lab.people import Cast
from stopit_lab.site import Site, Stores
from stopit_lab.story import Story
from stopit_lab.waiting import until

pytestmark = pytest.mark.integration

MakeSite = Callable[..., Site]
Settled = Callable[[Site], None]


@pytest.fixture(params=list(Stores), ids=lambda stores: stores.value)
def slow_site(request: pytest.FixtureRequest, make_site: MakeSite) -> Site:
    """A site whose notices leave five seconds after the decision: time enough to answer."""
    return make_site(stores=request.param, values={"policy": {"notice_delay": ["5s", "5s"]}})


def _answer(story: Story, message: Received, author: str, words: str) -> None:
    answer = reply(message.message, author, words)
    assert story.site.submit(answer, author, [story.reply_address(message)]).accepted


def test_reporter_cancels_before_the_notice_is_due(
    slow_site: Site, cast: Cast, nothing_more_is_sent: Settled
) -> None:
    story = Story(slow_site, cast)
    story.flag(story.write())

    _answer(story, story.acknowledgement(), cast.vera, "cancel")
    until(lambda: len(story.service_mail(cast.vera)) == 2, "the answer to the cancel")
    nothing_more_is_sent(slow_site)

    assert story.notices() == []


def test_nobody_else_can_cancel(slow_site: Site, cast: Cast) -> None:
    story = Story(slow_site, cast)
    story.flag(story.write())

    _answer(story, story.acknowledgement(), cast.walt, "cancel")

    assert story.notice()
    assert len(story.notices()) == 1


def test_cancel_after_the_notice_is_told_so(story: Story, nothing_more_is_sent: Settled) -> None:
    story.flag(story.write())
    story.notice()

    _answer(story, story.acknowledgement(), story.cast.vera, "cancel")
    until(lambda: len(story.service_mail(story.cast.vera)) == 2, "the answer to the cancel")
    nothing_more_is_sent(story.site)

    assert len(story.notices()) == 1


def test_sender_says_not_me_and_staff_are_told(story: Story, nothing_more_is_sent: Settled) -> None:
    story.flag(story.write())
    notice = story.notice()
    number = story.case_number(notice)

    _answer(story, notice, story.cast.mallory, "This was not me. I left my laptop in the library.")

    told = story.site.staff.wait_for(
        lambda found: story.is_service_mail(found) and number in found.text and "library" in found,
        "what the sender answered",
    )
    nothing_more_is_sent(story.site)
    assert story.cast.mallory in told
    assert len(story.notices()) == 1
    assert len(story.service_mail(story.cast.vera)) == 1


def test_bounced_notice_is_on_the_case_and_answered_by_nobody(story: Story, nothing_more_is_sent: Settled) -> None:
    """The sender's account no longer takes mail: the MTA accepts our notice, and bounces it later."""
    gone = story.cast.gone
    story.flag(story.write(author=gone))
    number = story.case_number(story.acknowledgement())

    told = story.site.staff.wait_for(
        lambda found: story.is_service_mail(found) and number in found.text, "the alert about the bounce"
    )
    nothing_more_is_sent(story.site)

    assert "bounced" in story.site.ctl("cases", "show", number)
    assert gone in told
    assert len(story.service_mail(story.cast.vera)) == 1


def test_yes_sends_the_notice_where_the_site_asks(make_site: MakeSite, cast: Cast) -> None:
    site = make_site(values={"policy": {"single_recipient": "ask", "notice_delay": ["1s", "1s"]}})
    story = Story(site, cast)
    story.flag(story.write(recipients=[cast.vera]))
    asked = story.acknowledgement()
    before = story.notices()

    _answer(story, asked, cast.vera, "yes")

    story.notice()
    assert before == []


def test_made_up_reply_address_cancels_nothing(slow_site: Site, cast: Cast) -> None:
    story = Story(slow_site, cast)
    story.flag(story.write())
    acknowledgement = story.acknowledgement()
    local, _, domain = story.reply_address(acknowledgement).strip("<>").partition("@")
    forged = f"{local[:-1]}{'a' if local[-1] != 'a' else 'b'}@{domain}"

    answer = reply(acknowledgement.message, cast.vera, "cancel")
    assert slow_site.submit(answer, cast.vera, [forged]).accepted

    story.notice()
