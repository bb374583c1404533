"""The order of edits, and the fields that are ours."""

from __future__ import annotations

import pytest

from stopit_core.decision.disposition import Edits, forged_fields
from stopit_milter.edits import apply


class Recorder:
    """An MTA that takes every change, up to one that it cannot make."""

    def __init__(self, failing: str = "") -> None:
        self.made: list[tuple[object, ...]] = []
        self._failing = failing

    def delrcpt(self, rcpt: str) -> None:
        self._make("delrcpt", rcpt)

    def chgheader(self, field: str, idx: int, value: str | None) -> None:
        self._make("chgheader", field, idx, value)

    def addheader(self, field: str, value: str) -> None:
        self._make("addheader", field, value)

    def addrcpt(self, rcpt: str) -> None:
        self._make("addrcpt", rcpt)

    def _make(self, *change: object) -> None:
        if change[0] == self._failing:
            raise OSError("cannot")
        self.made.append(change)


EDITS = Edits(
    removed_recipients=("<A@x.example>", "b@x.example"),
    removed_fields=(("x-stopit-flag", 2), ("x-stopit-flag", 1)),
    added_fields=(("X-Stopit-Report", "1"),),
    added_recipients=("staff@x.example",),
)
ORDER = [
    ("delrcpt", "<A@x.example>"),
    ("delrcpt", "b@x.example"),
    ("chgheader", "x-stopit-flag", 2, None),
    ("chgheader", "x-stopit-flag", 1, None),
    ("addheader", "X-Stopit-Report", "1"),
    ("addrcpt", "<staff@x.example>"),
]


def test_recipients_are_removed_first_and_staff_added_last() -> None:
    mta = Recorder()
    apply(EDITS, mta)
    assert mta.made == ORDER


@pytest.mark.parametrize("failing", ["delrcpt", "chgheader", "addheader", "addrcpt"])
def test_the_first_that_fails_ends_it(failing: str) -> None:
    mta = Recorder(failing)
    with pytest.raises(OSError, match="cannot"):
        apply(EDITS, mta)
    assert mta.made == ORDER[: [change[0] for change in ORDER].index(failing)]


def test_edits_of_nothing_are_false() -> None:
    assert not Edits()
    assert all((Edits(("a",)), Edits(added_recipients=("a",))))


def test_fields_are_numbered_by_name_whatever_the_case() -> None:
    fields = [("X-S-A", b""), ("x-s-b", b""), ("Subject", b""), ("x-S-a", b""), ("X-S", b""), ("X-S-", b"")]
    assert forged_fields(fields, "X-S-") == (("x-s-", 1), ("x-s-a", 2), ("x-s-b", 1), ("x-s-a", 1))
