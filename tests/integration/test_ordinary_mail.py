"""Mail that is no flag passes, also under load. tests/dialogs has more mail that is no flag."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from stopit_lab.client import SmtpReply
from stopit_lab.messages import Style, message
from stopit_lab.people import Cast
from stopit_lab.site import Site
from stopit_lab.story import Story

pytestmark = pytest.mark.integration

CONNECTIONS = 12
MESSAGES = 20


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
