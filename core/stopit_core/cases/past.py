"""What a decision asks of the past, in one question, however much there is."""

from __future__ import annotations

from sqlalchemy import Column, Connection, ScalarSelect, bindparam, exists, func, select

from stopit_core.cases.schema import reports

__all__ = ["count_reports"]

_DAY = 86400.0


def _lately(column: Column[str], address: str) -> ScalarSelect[int]:
    """How many reports of the last day have this address there, but for one; counted as far as `enough`."""
    found = select(reports.c.key).where(
        column == bindparam(address), reports.c.at > bindparam("day"), reports.c.key != bindparam("without")
    )
    return select(func.count()).select_from(found.limit(bindparam("enough")).subquery()).scalar_subquery()


_COUNTS = select(
    _lately(reports.c.reporter, "reporter"),
    _lately(reports.c.sender, "sender"),
    exists().where(
        reports.c.reporter == bindparam("sender"), reports.c.sender == bindparam("reporter"),
        reports.c.at > bindparam("cooldown"),
    ),
)  # fmt: skip


def count_reports(
    connection: Connection, reporter: str, sender: str, now: float, cooldown: float, without: str, enough: int
) -> tuple[int, int, bool]:
    """Reports by the one and about the other ("" for nobody) in the last day, and whether the other reported the one
    within the cooldown. `without` is the key of a report that doesn't count; more than `enough` are not counted."""
    asked = {
        "reporter": reporter, "sender": sender, "day": now - _DAY, "cooldown": now - cooldown, "without": without,
        "enough": enough,
    }  # fmt: skip
    by_reporter, about_sender, reported = connection.execute(_COUNTS, asked).one()
    return (
        by_reporter if reporter else 0,
        about_sender if sender else 0,
        bool(reporter and sender and reported),
    )
