"""What decisions ask of the past, however much there is: how many reports, by whom and about whom.

Asked for one report (`count_reports`), or for all of a lot at once (`Counts`), which then keeps count itself of what
its transaction adds. Nobody's flood makes the counting long: it ends at what a rule could ask for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from sqlalchemy import Column, Connection, ScalarSelect, Select, bindparam, exists, func, select

from stopit_core.cases.records import ReportRow
from stopit_core.cases.schema import reports

__all__ = ["Counts", "count_reports"]

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
        reports.c.reporter == bindparam("sender"),
        reports.c.sender == bindparam("reporter"),
        reports.c.at > bindparam("cooldown"),
    ),
)


def _each_lately(column: Column[str]) -> Select[str, int]:
    """How many reports of the last day have each of these addresses there; `most` in all are looked at."""
    found = select(column).where(column.in_(bindparam("addresses", expanding=True)), reports.c.at > bindparam("day"))
    looked_at = found.limit(bindparam("most")).subquery()
    return select(looked_at.c[column.name], func.count()).group_by(looked_at.c[column.name])


_BY_EACH = _each_lately(reports.c.reporter)
_ABOUT_EACH = _each_lately(reports.c.sender)
_REPORTED = (
    select(reports.c.reporter, reports.c.sender)
    .where(
        reports.c.reporter.in_(bindparam("senders", expanding=True)),
        reports.c.sender.in_(bindparam("reporters", expanding=True)),
        reports.c.at > bindparam("cooldown"),
    )
    .distinct()
)


def count_reports(
    connection: Connection, reporter: str, sender: str, now: float, cooldown: float, without: str, enough: int
) -> tuple[int, int, bool]:
    """Reports by the one and about the other ("" for nobody) in the last day, and whether the other reported the one
    within the cooldown. `without` is the key of a report that doesn't count; more than `enough` are not counted."""
    asked = {
        "reporter": reporter,
        "sender": sender,
        "day": now - _DAY,
        "cooldown": now - cooldown,
        "without": without,
        "enough": enough,
    }
    by_reporter, about_sender, reported = connection.execute(_COUNTS, asked).one()
    return (
        by_reporter if reporter else 0,
        about_sender if sender else 0,
        bool(reporter and sender and reported),
    )


class Counts:
    """The same for many pairs of (reporter, sender), at one time, in a transaction that has locked the senders.

    `add` must be told of each report that the transaction adds.
    """

    def __init__(
        self, connection: Connection, pairs: Collection[tuple[str, str]], now: float, cooldown: float, enough: int
    ) -> None:
        self._since = now - _DAY
        self._cooldown = now - cooldown
        reporters = sorted({reporter for reporter, _ in pairs if reporter})
        senders = sorted({sender for _, sender in pairs if sender})
        self._by = self._counted(connection, _BY_EACH, reporters, enough)
        self._about = self._counted(connection, _ABOUT_EACH, senders, enough)
        asked = {"senders": senders, "reporters": reporters, "cooldown": self._cooldown}
        self._reported = {(row.reporter, row.sender) for row in connection.execute(_REPORTED, asked)}

    def of(self, reporter: str, sender: str) -> tuple[int, int, bool] | None:
        """See `count_reports`; None where there were too many to tell them apart."""
        if self._by is None or self._about is None:
            return None
        reported = bool(reporter and sender) and (sender, reporter) in self._reported
        return self._by[reporter], self._about[sender], reported

    def add(self, row: ReportRow) -> None:
        """One more report."""
        if row.at > self._since:
            for counts, address in ((self._by, row.reporter), (self._about, row.sender)):
                if counts is not None and address:
                    counts[address] += 1
        if row.at > self._cooldown:
            self._reported.add((row.reporter, row.sender))

    def _counted(
        self, connection: Connection, statement: Select[str, int], addresses: Collection[str], enough: int
    ) -> Counter[str] | None:
        most = len(addresses) * enough
        asked = {"addresses": addresses, "day": self._since, "most": most}
        found: Counter[str] = Counter()
        for address, count in connection.execute(statement, asked):
            found[address] = count
        # At the limit one address may have taken the place of others; with one address there are no others.
        return found if len(addresses) < 2 or found.total() < most else None
