"""Headers: found without regard to case, unfolded, cleaned, bounded; ids and addresses parsed from them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopit_core.mail import Headers, addresses_in, is_automatic, is_list, message_ids
from stopit_core.mail.headers import MAX_HEADERS, VALUE_CHARACTERS


def test_fields_keep_their_order_and_are_found_in_any_case() -> None:
    headers = Headers([("Received", "one"), ("Subject", "hi"), ("RECEIVED", "two")])

    assert headers.first("received") == "one"
    assert headers.all("Received") == ("one", "two")
    assert headers.first("To") is None
    assert headers.all("To") == ()
    assert "SUBJECT" in headers
    assert "To" not in headers
    assert list(headers) == [("Received", "one"), ("Subject", "hi"), ("RECEIVED", "two")]
    assert len(headers) == 3


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        (" spaced ", "spaced"),
        ("<a@b>\r\n <c@d>", "<a@b> <c@d>"),
        ("<a@b>\n\t<c@d>", "<a@b> <c@d>"),
        ("a\x00b\r\nBcc: eve@example.edu\x7f", "abBcc: eve@example.edu"),
        ("gr\u00fc\u00dfe", "gr\u00fc\u00dfe"),
        ("\ud800x", "?x"),
    ],
)
def test_values_are_one_clean_line(raw: str, clean: str) -> None:
    assert Headers([("X", raw)]).first("X") == clean


def test_the_same_octets_are_the_same_value_however_they_were_decoded() -> None:
    octets = b"<gr\xc3\xbc\xff@example.edu>"
    ways = [
        Headers([(b"Message-ID", octets)]),
        Headers([("Message-ID", octets.decode("ascii", "surrogateescape"))]),
        Headers([("Message-ID", octets.decode("utf-8", "surrogateescape"))]),
    ]

    assert ways[0] == ways[1] == ways[2]
    assert len(set(ways)) == 1
    assert (ways[0].first("message-id") or "").encode("utf-8", "surrogateescape") == octets


def test_what_is_too_much_is_cut() -> None:
    headers = Headers(("X", "y" * (VALUE_CHARACTERS + 1)) for _ in range(MAX_HEADERS + 1))

    assert len(headers) == MAX_HEADERS
    assert len(headers.first("X") or "") == VALUE_CHARACTERS


@pytest.mark.parametrize(
    ("value", "ids"),
    [
        ("<a@b>", ("a@b",)),
        ("< a@b >", ("a@b",)),
        ("<a@b> <c@d>", ("a@b", "c@d")),
        ("<a@b><c@d>", ("a@b", "c@d")),
        ("<A.b!#$%&'*+/=?^_`{|}~@B>", ("A.b!#$%&'*+/=?^_`{|}~@B",)),
        ("<no-at-sign>", ("no-at-sign",)),
        ("Your message of Monday <a@b>", ("a@b",)),
        ("a@b", ("a@b",)),
        ("lonely", ("lonely",)),
        ("Re: hello there", ()),
        ("<>", ()),
        ("<unclosed@b", ()),
        ("", ()),
    ],
)
def test_message_ids(value: str, ids: tuple[str, ...]) -> None:
    assert message_ids(value) == ids


@pytest.mark.parametrize(
    ("value", "addresses"),
    [
        ("vera@example.edu", ("vera@example.edu",)),
        ('"Malone, M." <mallory@example.edu>, Walt <walt@example.edu>', ("mallory@example.edu", "walt@example.edu")),
        ("undisclosed-recipients:;", ()),
        ("(" * 100_000, ()),
        ("", ()),
    ],
)
def test_addresses(value: str, addresses: tuple[str, ...]) -> None:
    assert addresses_in(value) == addresses


@given(st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=200))), st.text(max_size=300))
def test_hostile_values_never_raise(pairs: list[tuple[bytes, bytes]], value: str) -> None:
    headers = Headers(pairs)

    for name, clean in headers:
        assert not any(ord(c) < 32 or ord(c) == 127 for c in name + clean)
        clean.encode("utf-8", "surrogateescape")
    message_ids(value)
    addresses_in(value)


@pytest.mark.parametrize(
    ("name", "value", "automatic"),
    [
        ("Auto-Submitted", "auto-replied", True),
        ("Auto-Submitted", "auto-generated; owner-email=x@example.edu", True),
        ("Auto-Submitted", "Auto-Notified (by x)", True),
        ("Auto-Submitted", "no", False),
        ("Auto-Submitted", "No (a person wrote this)", False),
        ("Precedence", "bulk", True),
        ("Precedence", "JUNK", True),
        ("Precedence", "list", True),
        ("Precedence", "first-class", False),
        ("X-Auto-Response-Suppress", "All", False),
        ("Subject", "Out of office", False),
    ],
)
def test_automatic_mail(name: str, value: str, automatic: bool) -> None:
    assert is_automatic(Headers([(name, value)]), null_sender=False) is automatic


def test_a_null_sender_is_automatic() -> None:
    assert is_automatic(Headers(), null_sender=True)


@pytest.mark.parametrize("name", ["List-Id", "list-post", "List-Unsubscribe", "Mailing-List"])
def test_list_mail(name: str) -> None:
    assert is_list(Headers([(name, "<x>")]))
    assert not is_list(Headers([("Subject", "x")]))
