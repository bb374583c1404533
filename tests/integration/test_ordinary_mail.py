"""Mail that is no flag passes, as it was sent."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import EmailMessage
from email.policy import SMTP

import pytest

from stopit_lab.client import SmtpReply
from stopit_lab.messages import Style, message, reply
from stopit_lab.people import Cast
from stopit_lab.site import Site
from stopit_lab.story import Story

pytestmark = pytest.mark.integration

CONNECTIONS = 12
MESSAGES = 20


def _in_a_sentence(story: Story, original: EmailMessage) -> EmailMessage:
    return reply(original, story.cast.vera, "Please stopit when you come home, would you?")


def _in_the_quote(story: Story, _: EmailMessage) -> EmailMessage:
    asked = message(story.cast.mallory, [story.cast.vera], "A question", "stopit\n\nWhat does that word do?")
    return reply(asked, story.cast.vera, "It reports harassing mail.", Style.GMAIL)


def _no_reply(story: Story, _: EmailMessage) -> EmailMessage:
    return message(story.cast.vera, [story.cast.mallory], "The word", "stopit\n")


def _on_a_later_line(story: Story, original: EmailMessage) -> EmailMessage:
    return reply(original, story.cast.vera, "The new service is called:\n\nstopit")


def _in_a_longer_word(story: Story, original: EmailMessage) -> EmailMessage:
    return reply(original, story.cast.vera, "stopitnow", Style.HTML_ONLY)


@pytest.mark.parametrize("write", [_in_a_sentence, _in_the_quote, _no_reply, _on_a_later_line, _in_a_longer_word])
def test_looks_a_bit_like_a_flag(story: Story, write) -> None:
    message = write(story, story.write())

    assert story.site.submit(message, story.cast.vera, [story.cast.mallory]).accepted

    received = story.find(story.cast.mallory, message)
    sent = message.as_bytes(policy=SMTP).replace(b"\r\n", b"\n")
    assert received.raw.rstrip(b"\n").endswith(sent.rstrip(b"\n"))
    assert b"X-Stopit" not in received.raw


def test_automatic_reply_is_no_flag(story: Story) -> None:
    message = reply(story.write(), story.cast.vera, "stopit")
    message["Auto-Submitted"] = "auto-replied"

    assert story.site.submit(message, story.cast.vera, [story.cast.mallory]).accepted

    story.find(story.cast.mallory, message)


def test_service_headers_from_outside_are_removed(site: Site, story: Story) -> None:
    hello = message(story.cast.olga, [story.cast.vera], "Hello", "Hello.")
    for name in ("X-Stopit-Report", "X-Stopit-Flag", "X-Stopit-Report"):
        hello[name] = "forged"

    assert site.receive(hello, story.cast.olga, [story.cast.vera]).accepted

    received = story.find(story.cast.vera, hello)
    assert b"forged" not in received.raw
    assert received.text == "Hello.\n"


def test_html_from_many_connections_at_once(site: Site, casts: Iterator[Cast]) -> None:
    """Reading HTML in libmilter's own threads crashed workers; one connection at a time never showed it."""

    def answers(story: Story) -> list[SmtpReply]:
        asked = message(story.cast.mallory, [story.cast.vera], "Tea?", "Would you like some tea?")
        return [story.answer(asked, typed="I would love to.", style=Style.HTML_ONLY)[1] for _ in range(MESSAGES)]

    stories = [Story(site, next(casts)) for _ in range(CONNECTIONS)]
    with ThreadPoolExecutor(CONNECTIONS) as clients:
        said = [reply for replies in clients.map(answers, stories) for reply in replies]

    assert len(said) == CONNECTIONS * MESSAGES
    assert [str(reply) for reply in said if not reply.accepted] == []
