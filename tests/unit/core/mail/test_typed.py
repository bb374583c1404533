"""The typed part of a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopit_core.mail import first_typed_line, typed_text

LEAD = "On Mon, Oct 12, 2026 at 9:58 AM Mallory <mallory@example.edu> wrote:"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("hello\nyou", "hello"),
        ("\n\n  hello\n", "hello"),
        ("> quoted\nhello", "hello"),
        (f"{LEAD}\n> quoted\n\nhello", "hello"),
        (f"{LEAD}\n\n\n> quoted\nhello", "hello"),
        (f"hello\n{LEAD}\n> quoted", "hello"),
        (f"{LEAD}\nquoted\nhello", ""),
        ("-- \nVera", ""),
        ("---\nhello", "---"),
        ("From: a\nSent: b\nTo: c\n\nhello", ""),
        ("Name: Vera\nhello", "Name: Vera"),
        ("________________________________\nhello", ""),
        ("\ufffc\nhello", "hello"),
        ("> only\n> quotes", ""),
        ("", ""),
    ],
)
def test_first_typed_line(text: str, line: str) -> None:
    assert first_typed_line(text) == line


def test_typed_text_leaves_out_quotes_and_signature() -> None:
    text = f"One.\n\nTwo.\n{LEAD}\n> quoted\n\nThree.\n-- \nVera"

    assert typed_text(text, 1000) == "One.\n\nTwo.\n\nThree."
    assert typed_text(text, 4) == "One."


@given(st.text(alphabet=st.sampled_from("stopi t>\n:-<@1Onwre\u200b\u00a0_|"), max_size=200))
def test_what_was_typed_stands_in_the_text_unquoted(text: str) -> None:
    line = first_typed_line(text)

    assert not line.startswith((">", "|"))
    assert line in text
    assert typed_text(text, 50).startswith(line[:50])
