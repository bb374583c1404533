"""Nobody gets a notice for what they did not send, and nobody can have one sent by a lie."""

from __future__ import annotations

from collections.abc import Callable
from email.message import EmailMessage

import pytest

from stopit_lab.messages import message
from stopit_lab.site import Site
from stopit_lab.story import Story

pytestmark = pytest.mark.integration

Settled = Callable[[Site], None]


def _decisions(site: Site, reason: str) -> float:
    return site.notifier_metrics().value("stopit_decisions_total", outcome="staff-review", reason=reason)


def test_login_wins_over_from(story: Story, nothing_more_is_sent: Settled) -> None:
    cast = story.cast
    original = story.write(header_from=cast.bob)

    flag = story.flag(original)
    notice = story.notice(cast.mallory)
    nothing_more_is_sent(story.site)

    assert flag["To"] == cast.bob
    assert story.site.mailbox(cast.bob).messages() == []
    assert len(story.notices(cast.mallory)) == 1
    assert [secret for secret in story.secrets() if secret in notice] == []


def test_login_wins_over_envelope_sender(story: Story, nothing_more_is_sent: Settled) -> None:
    cast = story.cast
    original = message(cast.bob, [cast.vera, cast.walt], story.subject, story.text)
    assert story.site.submit(original, cast.mallory, [cast.vera, cast.walt], sender=cast.bob).accepted
    story.find(cast.vera, original)

    story.flag(original)
    story.notice(cast.mallory)
    nothing_more_is_sent(story.site)

    assert story.site.mailbox(cast.bob).messages() == []


def test_who_never_received_it_has_no_notice_sent(story: Story, nothing_more_is_sent: Settled) -> None:
    cast = story.cast
    before = _decisions(story.site, "not-a-recipient")
    original = story.write()

    flag = story.flag(original, author=cast.eve)
    acknowledgement = story.acknowledgement(cast.eve)
    nothing_more_is_sent(story.site)

    assert story.notices(cast.mallory) == []
    assert not story.has(cast.mallory, flag)
    assert _decisions(story.site, "not-a-recipient") == before + 1
    assert "staff" in acknowledgement


def test_unauthenticated_original_waits_for_staff(story: Story, nothing_more_is_sent: Settled) -> None:
    cast = story.cast
    before = _decisions(story.site, "sender-not-sure")
    original = _from_outside(story, cast.olga, cast.olga)

    story.flag(original)
    acknowledgement = story.acknowledgement(cast.vera)
    nothing_more_is_sent(story.site)

    assert story.site.mailbox(cast.olga).messages() == []
    assert _decisions(story.site, "sender-not-sure") == before + 1
    assert "staff" in acknowledgement


def test_forged_campus_sender_gets_nothing(story: Story, nothing_more_is_sent: Settled) -> None:
    cast = story.cast
    original = _from_outside(story, cast.bob, cast.bob)

    flag = story.flag(original)
    story.acknowledgement(cast.vera)
    nothing_more_is_sent(story.site)

    assert story.site.mailbox(cast.bob).messages() == []
    assert not story.has(cast.bob, flag)


def test_two_senders_under_one_message_id_wait_for_staff(story: Story, nothing_more_is_sent: Settled) -> None:
    cast = story.cast
    before = _decisions(story.site, "ambiguous")
    original = story.write()
    framed = message(cast.bob, [cast.vera], "Hello", "A friendly word.", message_id=str(original["Message-ID"]))
    assert story.site.submit(framed, cast.bob, [cast.vera]).accepted
    story.site.wait_until_traced(original, passes=2)

    story.flag(original)
    story.acknowledgement(cast.vera)
    nothing_more_is_sent(story.site)

    assert story.notices(cast.mallory) == []
    assert story.notices(cast.bob) == []
    assert _decisions(story.site, "ambiguous") == before + 1


def test_unauthenticated_reply_flags_nothing(story: Story) -> None:
    cast = story.cast
    original = story.write()
    forged = message(cast.vera, [cast.mallory], f"Re: {story.subject}", "stopit\n")
    forged["In-Reply-To"] = str(original["Message-ID"])

    assert story.site.receive(forged, cast.vera, [cast.mallory]).accepted

    story.find(cast.mallory, forged)


def _from_outside(story: Story, sender: str, header_from: str) -> EmailMessage:
    original = message(header_from, [story.cast.vera, story.cast.walt], story.subject, story.text)
    assert story.site.receive(original, sender, [story.cast.vera, story.cast.walt]).accepted
    story.find(story.cast.vera, original)
    story.note_original(original)
    return original
