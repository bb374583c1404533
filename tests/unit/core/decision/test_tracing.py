"""The traces of a message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stopit_core.decision.context import DecisionContext
from stopit_core.decision.tracing import message_ids_of, traces_of
from stopit_core.decision.transaction import Transaction
from stopit_core.model import AuthResults

Make = Callable[..., Transaction]
MESSAGE_ID = ("Message-ID", "<original@campus.example>")


def test_all_that_identifies_and_nothing_that_tells(context: DecisionContext, transaction: Make) -> None:
    fields = (
        MESSAGE_ID,
        ("From", "Mallory M. <mallory@campus.example>"),
        ("Subject", "secret"),
        ("Authentication-Results", "mx.campus.example; dmarc=pass header.from=campus.example"),
    )
    paths = ("<Vera+x@Campus.Example>", "<walt@campus.example>", "<vera@campus.example>", "<>")
    (trace,) = traces_of(
        transaction(fields=fields, login="mallory", mail_from="m@x.example", recipients=paths), context
    )
    assert trace.message == context.keyring.message("original@campus.example")
    assert (trace.seen, trace.queue_id, trace.login) == (1000.0, "4Xabc", "mallory")
    assert (trace.mail_from, trace.header_from, trace.client) == (
        "m@x.example",
        "mallory@campus.example",
        "192.0.2.9",
    )
    assert (trace.relay, trace.bulk, trace.own) == (False, False, False)
    assert trace.recipient_count == 4
    assert trace.recipient_digests() == tuple(
        map(context.people.digest, ("vera@campus.example", "walt@campus.example"))
    )
    assert trace.auth_results == AuthResults(dmarc_pass=True)


def test_no_message_id_no_trace(context: DecisionContext, transaction: Make) -> None:
    assert traces_of(transaction(fields=(("Subject", "x"),)), context) == ()


@pytest.mark.parametrize(
    "fields",
    [
        (("Message-ID", "<a@x.example> <b@x.example>"),),
        (("Message-ID", "<a@x.example>"), ("Subject", "x"), ("message-id", "<b@x.example>")),
    ],
    ids=["in one field", "in two fields"],
)
def test_several_message_ids_each_have_a_trace(context: DecisionContext, transaction: Make, fields: Any) -> None:
    traces = traces_of(transaction(fields=fields), context)
    assert [trace.message for trace in traces] == [
        context.keyring.message(each) for each in ("a@x.example", "b@x.example")
    ]
    assert len({trace.recipients for trace in traces}) == 1


def test_of_very_many_message_ids_the_first_and_the_last_count(transaction: Make) -> None:
    ids = [f"{number}@x.example" for number in range(100)]
    found = message_ids_of(transaction(fields=[("Message-ID", "".join(f"<{each}>" for each in ids))]).headers)
    assert found == (*ids[:16], *ids[-16:])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("m@x.example",), "m@x.example"),
        (('"M, A" <m@x.example>',), "m@x.example"),
        (("=?utf-8?q?M?= <m@x.example>",), "m@x.example"),
        (("a@x.example, b@x.example",), ""),
        (("M <m@x.example> <n@x.example>",), ""),
        (("m@x.example", "n@x.example"), ""),
        (("nobody",), ""),
        (("",), ""),
        ((b"\xff <m\xff@x.example>",), ""),
        ((), ""),
    ],
)
def test_from_counts_when_it_is_one_address(
    context: DecisionContext, transaction: Make, values: tuple[str | bytes, ...], expected: str
) -> None:
    fields = [MESSAGE_ID, *(("From", value) for value in values)]
    (trace,) = traces_of(transaction(fields=fields), context)
    assert trace.header_from == expected


@pytest.mark.parametrize(
    "field", [("List-Id", "<l.example>"), ("Precedence", "bulk"), ("Auto-Submitted", "auto-replied")]
)
def test_list_and_automatic_mail_is_bulk(context: DecisionContext, transaction: Make, field: tuple[str, str]) -> None:
    (trace,) = traces_of(transaction(fields=(MESSAGE_ID, field)), context)
    assert trace.bulk
