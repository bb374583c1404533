"""The main job: the sender is asked to stop, and the reporter stays out of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from stopit_lab.client import Client
from stopit_lab.messages import Style, forward_attached, message
from stopit_lab.people import REPORT, Cast
from stopit_lab.site import EMERGENCY, Site, Stores
from stopit_lab.story import Story

pytestmark = pytest.mark.integration

Settled = Callable[[Site], None]


def test_reply_is_withheld_and_sender_gets_one_notice(story: Story, nothing_more_is_sent: Settled) -> None:
    original = story.write()

    flag = story.flag(original)
    notice, acknowledgement, copy = story.notice(), story.acknowledgement(), story.staff_copy(flag)
    nothing_more_is_sent(story.site)

    assert not story.has(story.cast.mallory, flag)
    assert len(story.notices()) == 1
    assert story.site.mailbox(story.cast.mallory).messages() == story.notices()
    assert [secret for secret in story.secrets() if secret in notice] == []
    assert acknowledgement.text.lstrip().startswith("\n".join(EMERGENCY))
    assert copy.header("X-Stopit-Report")
    assert copy.header("X-Stopit-Flag")
    assert "stopit" in copy.text
    assert story.service_mail(story.cast.walt) == []


def test_staff_get_one_copy_and_walt_none(story: Story, nothing_more_is_sent: Settled) -> None:
    original = story.write()

    flag, said = story.answer(original, to=[story.cast.mallory, story.cast.walt])
    story.staff_copy(flag)
    nothing_more_is_sent(story.site)

    assert said.accepted
    assert not story.has(story.cast.walt, flag)
    copies = story.site.staff.matching(lambda found: found.header("Message-ID") == flag["Message-ID"])
    assert len(copies) == 1


@pytest.mark.parametrize("style", Style)
def test_flag_is_seen_in_every_client(story: Story, style: Style) -> None:
    flag, said = story.answer(story.write(), style=style)

    assert said.accepted
    story.notice()
    assert not story.has(story.cast.mallory, flag)


def _another_case(cast: Cast) -> tuple[Sequence[str], Sequence[str]]:
    local, _, domain = cast.mallory.partition("@")
    return [cast.walt, f"{local.upper()}@{domain.title()}"], []


def _tag(cast: Cast) -> tuple[Sequence[str], Sequence[str]]:
    return [cast.walt, cast.mallory.replace("@", "+work@")], []


def _list(cast: Cast) -> tuple[Sequence[str], Sequence[str]]:
    return [cast.walt, cast.everyone], []


def _alias(cast: Cast) -> tuple[Sequence[str], Sequence[str]]:
    return [cast.mallory_alias, cast.walt], []


def _bcc(cast: Cast) -> tuple[Sequence[str], Sequence[str]]:
    return [cast.walt], [cast.walt, cast.mallory, cast.bob]


@pytest.mark.parametrize("addressing", [_another_case, _tag, _list, _alias, _bcc])
def test_reply_to_all_reaches_nobody(
    story: Story, addressing: Callable[[Cast], tuple[Sequence[str], Sequence[str]]]
) -> None:
    to, envelope = addressing(story.cast)
    original = story.write(to=[story.cast.vera, *to])

    flag, said = story.answer(original, to=to, recipients=envelope)
    story.staff_copy(flag)
    story.notice()
    story.site.postfix.wait_until_queue_is_empty()

    assert said.accepted
    for reader in (story.cast.mallory, story.cast.walt, story.cast.vera, story.cast.bob):
        assert not story.has(reader, flag), reader
    assert len(story.notices()) == 1


def test_header_flags(story: Story) -> None:
    original = story.write()
    flag = message(story.cast.vera, [REPORT], "Flagged", "A button was pressed.")
    flag["X-Stopit"] = "flag"
    flag["In-Reply-To"] = str(original["Message-ID"])

    assert story.site.submit(flag, story.cast.vera, [REPORT]).accepted

    story.notice()
    story.staff_copy(flag)


def test_original_forwarded_as_attachment_flags(story: Story) -> None:
    original = story.write()
    received = story.find(story.cast.vera, original).message

    forward = forward_attached([received], story.cast.vera, REPORT)
    assert story.site.submit(forward, story.cast.vera, [REPORT]).accepted

    notice = story.notice()
    story.staff_copy(forward)
    assert [secret for secret in story.secrets() if secret in notice] == []


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
