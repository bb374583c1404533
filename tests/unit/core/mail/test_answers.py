"""Answers to our own messages: words of people, bounces, and automatic answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopit_core.config import FlagWords
from stopit_core.mail.answers import TEXT_CHARACTERS, Answer, AnswerKind, BounceFacts, read_answer

WORDS = FlagWords()


def answer(text: str, *, headers: str = "Subject: Re: Your report\n", null_sender: bool = False) -> Answer:
    return read_answer(f"{headers}\n{text}".encode(), null_sender, WORDS)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("cancel", AnswerKind.CANCEL),
        ("Cancel.\n\nSent from my iPhone\n", AnswerKind.CANCEL),
        (
            "CANCEL\n\nOn Mon, Oct 12, 2026 at 9:58 AM Stopit <stopit@example.edu> wrote:\n> Answer cancel.\n",
            AnswerKind.CANCEL,
        ),
        ("> Answer cancel.\n\ncancel\n", AnswerKind.CANCEL),
        ("cancel🙏🏽", AnswerKind.CANCEL),
        ("CANCEL 🛑!!", AnswerKind.CANCEL),
        ("cancel please", AnswerKind.OTHER),
        ("Please do not cancel", AnswerKind.OTHER),
        ("Thanks\ncancel", AnswerKind.OTHER),
        ("> cancel\n", AnswerKind.OTHER),
        ("yes", AnswerKind.YES),
        ("Yes!", AnswerKind.YES),
        ("yes but", AnswerKind.OTHER),
        ("not me", AnswerKind.NOT_ME),
        (
            "This was not me, somebody has my password and I have no idea since when, " + "really " * 40,
            AnswerKind.NOT_ME,
        ),
        ("It wasn't me", AnswerKind.NOT_ME),
        ("It wasn\u2019t me", AnswerKind.NOT_ME),
        ("It wasn\u00b4t me", AnswerKind.NOT_ME),
        ("not mean at all", AnswerKind.OTHER),
        ("Was that not me?", AnswerKind.OTHER),
        ("", AnswerKind.OTHER),
    ],
)
def test_words(text: str, kind: AnswerKind) -> None:
    found = answer(text)

    assert found.kind is kind
    assert found.bounce is None


def test_the_text_is_what_was_typed() -> None:
    found = answer("One.\x07\n\nTwo.\n> quoted\n-- \nVera\n")

    assert found == Answer(AnswerKind.OTHER, "One.\n\nTwo.")


def test_the_text_is_cut() -> None:
    assert len(answer("word " * 5000).text) <= TEXT_CHARACTERS


@pytest.mark.parametrize(
    "header", ["Auto-Submitted: auto-replied\n", "Precedence: bulk\n", "List-Id: <x.example.edu>\n"]
)
def test_a_program_cannot_cancel(header: str) -> None:
    assert answer("cancel", headers=header).kind is AnswerKind.AUTOMATIC


def test_a_null_sender_that_is_no_bounce_is_automatic() -> None:
    assert answer("I am on holiday", null_sender=True).kind is AnswerKind.AUTOMATIC


def dsn(action: str, status: str) -> bytes:
    """A delivery status notification in the form of Postfix (RFC 3464)."""
    return f"""From: MAILER-DAEMON@mx.example.edu (Mail Delivery System)
Subject: Delivery Status Notification
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b1"

--b1
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

This is the mail system at host mx.example.edu.

--b1
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.edu
Arrival-Date: Mon, 12 Oct 2026 10:00:00 +0200

Final-Recipient: rfc822; mallory@example.edu
Original-Recipient: rfc822;mallory@example.edu
Action: {action}
Status: {status}
Diagnostic-Code: X-Postfix; unknown user: "mallory"

--b1
Content-Type: message/rfc822

From: stopit@example.edu
Subject: A message from Example University

cancel
--b1--
""".encode()


def test_a_failed_delivery_is_permanent() -> None:
    found = read_answer(dsn("failed", "5.1.1"), True, WORDS)

    assert found.kind is AnswerKind.BOUNCE
    assert found.bounce == BounceFacts(permanent=True, status="5.1.1")


def test_a_bounce_is_known_without_a_null_sender() -> None:
    assert read_answer(dsn("failed", "5.1.1"), False, WORDS).kind is AnswerKind.BOUNCE


def test_an_mta_that_gave_up_is_not_permanent() -> None:
    found = read_answer(dsn("failed", "4.4.1"), True, WORDS)

    assert found.bounce == BounceFacts(permanent=False, status="4.4.1")


@pytest.mark.parametrize(("action", "status"), [("delayed", "4.4.1"), ("delivered", "2.0.0"), ("relayed", "2.0.0")])
def test_what_is_no_failure_is_automatic(action: str, status: str) -> None:
    found = read_answer(dsn(action, status), True, WORDS)

    assert found.kind is AnswerKind.AUTOMATIC
    assert found.bounce is None


def test_a_bounce_in_words() -> None:
    text = """This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  mallory@example.net
    host mx.example.net [192.0.2.1]
    SMTP error from remote mail server after RCPT TO:<mallory@example.net>:
    550 5.7.1 rejected by policy
"""
    headers = "From: Mail Delivery System <Mailer-Daemon@mx.example.edu>\nX-Failed-Recipients: mallory@example.net\n"

    found = answer(text, headers=headers, null_sender=True)

    assert found.kind is AnswerKind.BOUNCE
    assert found.bounce == BounceFacts(permanent=True, status="5.7.1")


@given(st.binary(max_size=600), st.booleans())
def test_hostile_answers_never_raise(raw: bytes, null_sender: bool) -> None:
    found = read_answer(raw, null_sender, WORDS)

    assert len(found.text) <= TEXT_CHARACTERS


@given(st.binary(max_size=600))
def test_hostile_bounces_never_raise(raw: bytes) -> None:
    head = b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n"

    found = read_answer(head + b"Content-Type: message/delivery-status\n\n" + raw, True, WORDS)

    assert found.kind in (AnswerKind.BOUNCE, AnswerKind.AUTOMATIC)
