"""The only writer of the history of cases: each line is chained to the hash of the line before it.

An `EventLog` belongs to one transaction. It reads a case and the end of its history once, locks the case until the
transaction ends, and keeps the rest in memory. Lines are buffered, and `flush` writes them together right before the
commit, so a read in the same transaction sees the history as it was before.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, insert, select, update

from stopit_core.cases.chain import START, dump_detail, link
from stopit_core.cases.records import Actor, CaseState, EventKind
from stopit_core.cases.schema import cases, events

__all__ = ["EventLog"]

_HOLD = select(cases.c.number, cases.c.state).where(cases.c.id == bindparam("case_id")).with_for_update()
_LAST = (
    select(events.c.seq, events.c.hash)
    .where(events.c.case_id == bindparam("case_id"))
    .order_by(events.c.seq.desc())
    .limit(1)
)
_ADD = insert(events)
_CHANGED = update(cases).where(cases.c.id == bindparam("case")).values(changed_at=bindparam("changed"))
_STATE = update(cases).where(cases.c.id == bindparam("case")).values(state=bindparam("now"))


@dataclass(slots=True)
class _LockedCase:
    """A case that this transaction has locked, and the end of its history including the buffered lines."""

    number: str
    state: CaseState
    seq: int
    hash: str


class EventLog:
    """The history of cases within one transaction on `connection`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._locked: dict[int, _LockedCase] = {}
        self._lines: list[dict[str, object]] = []
        self._changed: dict[int, float] = {}

    def begin(self, case_id: int, number: str, state: CaseState) -> None:
        """Register a case that this transaction created: it is locked, and has no history yet."""
        self._locked[case_id] = _LockedCase(number, state, 0, START)

    def append(self, case_id: int, at: float, actor: Actor, kind: EventKind, **detail: str | float | None) -> None:
        """Add a line to a case's history. `at` in seconds since the epoch; empty details are left out."""
        case = self._lock(case_id)
        text = dump_detail({key: str(value) for key, value in detail.items() if value not in (None, "")})
        case.seq += 1
        case.hash = link(case.hash, case.number, case.seq, at, actor.value, kind.value, text)
        self._lines.append(
            {
                "case_id": case_id,
                "seq": case.seq,
                "at": at,
                "actor": actor.value,
                "kind": kind.value,
                "detail": text,
                "hash": case.hash,
            }
        )
        self._changed[case_id] = at

    def lock(self, case_id: int) -> CaseState:
        """Lock the case until the transaction ends, and return its state.

        Lock a case before its messages: two writers with different orders would deadlock.
        """
        return self._lock(case_id).state

    def has_locked(self, case_id: int) -> bool:
        """Return whether this transaction has locked the case."""
        return case_id in self._locked

    def change_state(self, case_id: int, state: CaseState, at: float, actor: Actor) -> None:
        """Change the state of a case and record it in the history; do nothing if the case has that state already."""
        case = self._lock(case_id)
        before = case.state
        if before is state:
            return
        case.state = state
        self._connection.execute(_STATE, {"case": case_id, "now": state.value})
        self.append(case_id, at, actor, EventKind.STATE, before=before.value, now=state.value)

    def flush(self) -> None:
        """Write the buffered lines."""
        if not self._lines:
            return
        self._connection.execute(_ADD, self._lines)
        self._connection.execute(_CHANGED, [{"case": key, "changed": at} for key, at in self._changed.items()])
        self._lines, self._changed = [], {}

    def _lock(self, case_id: int) -> _LockedCase:
        if case_id not in self._locked:
            number, state = self._connection.execute(_HOLD, {"case_id": case_id}).one()
            last = self._connection.execute(_LAST, {"case_id": case_id}).first()
            seq, end = last or (0, START)
            self._locked[case_id] = _LockedCase(number, CaseState(state), seq, end)
        return self._locked[case_id]
