"""A real SASL login identifies the reporter. tests/dialogs has the other ways to identify people."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stopit_lab.client import Client
from stopit_lab.messages import message
from stopit_lab.people import Cast
from stopit_lab.site import Site, Stores
from stopit_lab.story import Story

pytestmark = pytest.mark.integration


def test_real_sasl_login_flags(make_site: Callable[..., Site], cast: Cast) -> None:
    login = cast.vera.partition("@")[0]
    site = make_site(stores=Stores.SQLITE, passwords={login: "correct horse"})
    story = Story(site, cast)
    original = story.write()
    answer, said = story.answer(original, typed="I would rather you stopped it.")
    assert said.accepted, "an ordinary answer, to compare with"

    flag = message(cast.vera, [cast.mallory], "Re: your message", "stopit\n")
    flag["In-Reply-To"] = str(original["Message-ID"])
    refused = Client(site.postfix.sasl, login, "wrong horse").send(flag, cast.vera, [cast.mallory])
    said = Client(site.postfix.sasl, login, "correct horse").send(flag, cast.vera, [cast.mallory])

    assert refused.step == "AUTH"
    assert refused.code == 535
    assert said.accepted
    story.find(cast.mallory, answer)
    story.notice()
    assert not story.has(cast.mallory, flag)
