"""An answer counts only with a reply address that Stopit made. tests/dialogs has the stories of answers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stopit_lab.messages import reply
from stopit_lab.people import Cast
from stopit_lab.site import Site, Stores
from stopit_lab.story import Story

pytestmark = pytest.mark.integration


@pytest.fixture(params=list(Stores), ids=lambda stores: stores.value)
def slow_site(request: pytest.FixtureRequest, shared_sites: Callable[..., Site]) -> Site:
    """A site whose notices leave five seconds after the decision: time enough to answer."""
    return shared_sites(request.param, {"policy": {"notice_delay": ["5s", "5s"]}})


def test_made_up_reply_address_cancels_nothing(slow_site: Site, cast: Cast) -> None:
    story = Story(slow_site, cast)
    story.flag(story.write())
    acknowledgement = story.acknowledgement()
    local, _, domain = story.reply_address(acknowledgement).strip("<>").partition("@")
    forged = f"{local[:-1]}{'a' if local[-1] != 'a' else 'b'}@{domain}"

    answer = reply(acknowledgement.message, cast.vera, "cancel")
    assert slow_site.submit(answer, cast.vera, [forged]).accepted

    story.notice()
