"""A day of mail on a campus in a few seconds: some of everything that the metrics count."""

from __future__ import annotations

from collections.abc import Iterator

from stopit_lab.messages import forward_attached, message, reply
from stopit_lab.people import REPORT, Cast
from stopit_lab.site import Site
from stopit_lab.story import Story
from stopit_lab.waiting import until

__all__ = ["mixed_load", "ordinary_mail"]


def mixed_load(site: Site, casts: Iterator[Cast]) -> None:
    """Send flags of every kind and wait for what follows: notices, a sender who goes on, cases for staff.

    Takes four casts. Returns when the site has processed all of it. Raises TooLate if it does not.
    """
    _goes_on(Story(site, next(casts)))
    _kept(Story(site, next(casts)))
    _never_received(Story(site, next(casts)))
    _put_right(Story(site, next(casts)))


def ordinary_mail(site: Site, cast: Cast, number: int) -> None:
    """Send this number of ordinary messages from bob to walt, and one from outside."""
    for turn in range(number):
        lunch = message(cast.bob, [cast.walt], f"Lunch {turn}", "At one?\n")
        _taken(site.submit(lunch, cast.bob, [cast.walt]).accepted)
    _taken(site.receive(message(cast.olga, [cast.walt], "News", "From afar.\n"), cast.olga, [cast.walt]).accepted)


def _goes_on(story: Story[Site]) -> None:
    """mallory gets a notice, writes again, and is reported again."""
    story.flag(story.write())
    story.notice()
    again = story.write()
    story.flag(again)
    until(lambda: len(story.service_mail(story.cast.vera)) == 2, "the second acknowledgement")


def _kept(story: Story[Site]) -> None:
    """vera asks for a record; walt asks for a person, through the report address."""
    original = story.write()
    story.flag(original, typed="stopit record")
    story.acknowledgement()
    forward = forward_attached([original], story.cast.walt, REPORT, "stopit urgent\n")
    _taken(story.site.submit(forward, story.cast.walt, [REPORT]).accepted)
    story.acknowledgement(story.cast.walt)


def _never_received(story: Story[Site]) -> None:
    """eve, who did not receive the message, flags it with the header."""
    original = story.write()
    flag = reply(original, story.cast.eve, "Look at this!")
    flag["X-Stopit"] = "flag"
    _taken(story.site.submit(flag, story.cast.eve, [story.cast.mallory]).accepted)
    story.acknowledgement(story.cast.eve)


def _put_right(story: Story[Site]) -> None:
    """The sender answers the notice: it was not me."""
    story.flag(story.write())
    notice = story.notice()
    answer = reply(notice.message, story.cast.mallory, "This was not me.")
    _taken(story.site.submit(answer, story.cast.mallory, [story.reply_address(notice)]).accepted)
    story.site.staff.wait_for(lambda found: story.is_service_mail(found) and "This was not me" in found, "the alert")


def _taken(accepted: bool) -> None:
    if not accepted:
        raise AssertionError("the MTA did not accept a message")
