"""A message is kept under the same caps, whether it comes step by step or whole."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from stopit_core.decision.collector import FIELD_BYTES, Collector, collected
from stopit_core.decision.context import DecisionContext
from stopit_core.decision.transaction import Field
from stopit_core.envelope import Envelope
from stopit_core.identity.keys import new_ref
from stopit_core.mail import REPORT_BYTES
from stopit_core.wire import ANSWER_BYTES

KIB = 1024
REPLY: tuple[Field, ...] = (("Message-ID", b"<a@b>"), ("In-Reply-To", b"<original@campus.example>"))
MEMBER = Envelope(login="vera", mail_from="vera@campus.example", recipients=("<mallory@campus.example>",))


def blocks(size: int, taken: list[int]) -> Iterator[bytes]:
    """A body of 2 MiB in blocks; `taken` counts those that were asked for."""
    for number in range(2048 * KIB // size):
        taken.append(number)
        yield b"x" * size


def to(*recipients: str) -> Envelope:
    return Envelope(login="vera", mail_from="vera@campus.example", recipients=recipients)


def token_path(context: DecisionContext) -> str:
    return f"<stopit+{context.keyring.token(new_ref())}@campus.example>"


@pytest.mark.parametrize(
    ("recipient", "cap"), [("<mallory@campus.example>", 256 * KIB), ("<stopit@campus.example>", REPORT_BYTES)]
)
def test_a_body_is_taken_up_to_the_cap_and_no_further(context: DecisionContext, recipient: str, cap: int) -> None:
    taken: list[int] = []
    transaction, checked = collected(to(recipient), REPLY, blocks(64 * KIB, taken), 1.0, context)
    assert checked.recognisers
    assert (len(transaction.body), transaction.truncated) == (cap, True)
    assert len(taken) == cap // (64 * KIB) + 1


def test_an_answer_is_taken_as_far_as_the_queue_carries_it(context: DecisionContext) -> None:
    transaction, _ = collected(to(token_path(context)), (), blocks(1000, []), 1.0, context)
    assert len(transaction.body) == ANSWER_BYTES


def test_no_body_is_asked_for_where_headers_are_enough(context: DecisionContext) -> None:
    taken: list[int] = []
    transaction, checked = collected(MEMBER, REPLY[:1], blocks(10, taken), 1.0, context)
    assert not checked.needs_end_of_message
    assert (transaction.body, transaction.truncated, taken) == (b"", False, [])


def test_a_body_that_fits_is_whole(context: DecisionContext) -> None:
    transaction, _ = collected(MEMBER, REPLY, (b"stopit\r\n", b"> words\r\n"), 1.0, context)
    assert (transaction.body, transaction.truncated) == (b"stopit\r\n> words\r\n", False)


def test_beyond_the_cap_only_names_of_fields_are_kept() -> None:
    message = Collector()
    message.add_field("X-Pad", b"x" * FIELD_BYTES)
    message.add_field("X-Stopit-Report", b"1")
    message.add_field("Subject", b"")
    assert message.fields == [("X-Pad", b"x" * FIELD_BYTES), ("X-Stopit-Report", b""), ("Subject", b"")]


def test_there_is_no_message_before_its_headers_end() -> None:
    message = Collector()
    assert not message.add_body(b"x")
    with pytest.raises(ValueError, match="headers have not ended"):
        message.whole()
