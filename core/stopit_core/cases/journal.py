"""Writing the history of cases, the one way: each line behind the hash of the last."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update

from stopit_core.cases.chain import START, dump_detail, link
from stopit_core.cases.records import Actor, CaseState, EventKind
from stopit_core.cases.schema import cases, events

__all__ = ["append", "change_state", "hold"]


def append(
    connection: Connection, case_id: int, at: float, actor: Actor, kind: EventKind, **detail: str | float | None
) -> None:
    """Add a line to a case's history. `at` in seconds since the epoch; empty details are left out."""
    number = hold(connection, case_id)
    last = connection.execute(
        select(events.c.seq, events.c.hash).where(events.c.case_id == case_id).order_by(events.c.seq.desc()).limit(1)
    ).first()
    seq, previous = (last.seq + 1, last.hash) if last else (1, START)
    text = dump_detail({key: str(value) for key, value in detail.items() if value not in (None, "")})
    connection.execute(
        insert(events).values(
            case_id=case_id, seq=seq, at=at, actor=actor.value, kind=kind.value, detail=text,
            hash=link(previous, number, seq, at, actor.value, kind.value, text),
        )
    )  # fmt: skip
    connection.execute(update(cases).where(cases.c.id == case_id).values(changed_at=at))


def hold(connection: Connection, case_id: int) -> str:
    """Nobody else writes on this case until the transaction ends. Its number.

    A case is held before its messages are: two writers that did it the other way round would wait for each other.
    """
    number: str = connection.execute(
        select(cases.c.number).where(cases.c.id == case_id).with_for_update()
    ).scalar_one()
    return number


def change_state(connection: Connection, case_id: int, state: CaseState, at: float, actor: Actor) -> None:
    """Put a case in another state, on its history; nothing when it is there already."""
    before = connection.execute(select(cases.c.state).where(cases.c.id == case_id)).scalar_one()
    if before == state.value:
        return
    connection.execute(update(cases).where(cases.c.id == case_id).values(state=state.value))
    append(connection, case_id, at, actor, EventKind.STATE, before=before, now=state.value)
