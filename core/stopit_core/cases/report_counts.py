"""Count earlier reports for the policy: how many, by whom and about whom.

`count_reports` counts for one report. `Counts` counts for all reports of a batch at once, and then adds the reports
of its own transaction. Counting stops at the highest number that a rule needs, so a flood of reports does not make it
slow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection

from sqlalchemy import Column, Connection, ScalarSelect, Select, bindparam, exists, func, select

from stopit_core.cases.records import ReportRow
from stopit_core.cases.schema import reports

__all__ = ["Counts", "count_reports"]

_DAY = 86400.0


def _count_last_day(column: Column[str], address: str) -> ScalarSelect[int]:
    """Return a subquery: the number of reports of the last day with this address in `column`, except one; at most
    `enough`."""
    found = select(reports.c.key).where(
        column == bindparam(address), reports.c.at > bindparam("day"), reports.c.key != bindparam("without")
    )
    return select(func.count()).select_from(found.limit(bindparam("enough")).subquery()).scalar_subquery()


_COUNTS = select(
    _count_last_day(reports.c.reporter, "reporter"),
    _count_last_day(reports.c.sender, "sender"),
    exists().where(
        reports.c.reporter == bindparam("sender"),
        reports.c.sender == bindparam("reporter"),
        reports.c.at > bindparam("cooldown"),
    ),
)


def _count_each_last_day(column: Column[str]) -> Select[str, int]:
    """Return a query: the number of reports of the last day for each of several addresses; at most `most` rows are
    read."""
    found = select(column).where(column.in_(bindparam("addresses", expanding=True)), reports.c.at > bindparam("day"))
    looked_at = found.limit(bindparam("most")).subquery()
    return select(looked_at.c[column.name], func.count()).group_by(looked_at.c[column.name])


_BY_EACH = _count_each_last_day(reports.c.reporter)
_ABOUT_EACH = _count_each_last_day(reports.c.sender)
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
    """Return the number of reports by `reporter` and about `sender` ("" for nobody) in the last day, and whether
    `sender` reported `reporter` within the cooldown. `without` is the key of a report that is not counted;
    counting stops at `enough`."""
    parameters = {
        "reporter": reporter,
        "sender": sender,
        "day": now - _DAY,
        "cooldown": now - cooldown,
        "without": without,
        "enough": enough,
    }
    by_reporter, about_sender, reported = connection.execute(_COUNTS, parameters).one()
    return (
        by_reporter if reporter else 0,
        about_sender if sender else 0,
        bool(reporter and sender and reported),
    )


class Counts:
    """The same counts for many pairs of (reporter, sender), in a transaction that has locked the senders.

    Call `add` for each report that the transaction adds.
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
        parameters = {"senders": senders, "reporters": reporters, "cooldown": self._cooldown}
        self._reported = {(row.reporter, row.sender) for row in connection.execute(_REPORTED, parameters)}

    def of(self, reporter: str, sender: str) -> tuple[int, int, bool] | None:
        """Return the same as `count_reports`; None if there were too many reports to count them for each address."""
        if self._by is None or self._about is None:
            return None
        reported = bool(reporter and sender) and (sender, reporter) in self._reported
        return self._by[reporter], self._about[sender], reported

    def add(self, row: ReportRow) -> None:
        """Count one more report."""
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
        parameters = {"addresses": addresses, "day": self._since, "most": most}
        found: Counter[str] = Counter()
        for address, count in connection.execute(statement, parameters):
            found[address] = count
        # At the limit one address may have used up the rows of others; with one address there are no others.
        return found if len(addresses) < 2 or found.total() < most else None
