"""The queue: reports on their way from the milter to the notifier. Durable, at least once.

Two backends, SQLite and Redis (Streams with a consumer group), stand behind `Queue` and pass
tests/contract/test_queue.py. The theory, the same for both:

    put -> waiting -> claimed (for `lease` seconds) -> acknowledged: gone
              ^           |  lease passed: claimed again, attempts + 1
              |           v  after `max_attempts` deliveries, or `bury`
            retry <---- dead -> drop: gone

A report that is put twice (a client's retry, a spool drained through a crash) may come out twice; the case record
knows reports by their id and takes each once. Acknowledge by the delivery's id, after the commit, never before.

The lease is judged by the one who claims: all consumers name the same length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["DeadLetter", "Delivery", "Depths", "Queue", "exhausted"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One report handed out. `id` is the store's own, for `ack`; `attempts` counts this delivery too (from 1)."""

    id: str
    payload: bytes
    attempts: int
    put_at: float


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A report set aside: nobody will claim it until a person says `retry`."""

    id: str
    payload: bytes
    attempts: int
    put_at: float
    buried_at: float
    error: str


@dataclass(frozen=True, slots=True)
class Depths:
    """How much is in the queue. A claimed report counts as claimed after its lease, too.

    `oldest_age` is in seconds, of the oldest report that is not yet acknowledged and no dead letter.
    """

    waiting: int
    claimed: int
    dead: int
    oldest_age: float


def exhausted(max_attempts: int) -> str:
    """Why a report is a dead letter that nobody buried."""
    return f"claimed {max_attempts} times and never acknowledged"


class Queue(Protocol):
    """Every method may be called from any thread; raises `errors.Transient` when the store cannot be used now."""

    def put(self, report_id: str, payload: bytes) -> str:
        """Take a report (`wire.encode_report`). It is durable when this returns; what this returns is why.

        "": nothing else need be done. Else it is the *history* that the report went into, which a failover may throw
        away: who put it must keep a copy until that cannot happen any more (`queue.copies`).
        """

    def replication_id(self) -> str:
        """The history that holds now; "" where there is only one. Raises Transient when that cannot be told."""

    def claim(
        self, consumer: str, limit: int, lease: float, wait: float = 0.0, again: int | None = None
    ) -> list[Delivery]:
        """Up to `limit` reports for this consumer, those whose lease passed first. Waits up to `wait` seconds.

        With `again`, at most so many of those whose lease passed; the others stay for a later claim.
        A report on its delivery after `max_attempts` goes to the dead letters instead of coming out again.
        """

    def ack(self, delivery_id: str) -> None:
        """The report is done and leaves the queue. Again, or of an unknown id, is nothing."""

    def ack_all(self, delivery_ids: Sequence[str]) -> None:
        """`ack` for each of these, in one go."""

    def bury(self, delivery_id: str, error: str) -> None:
        """Set the report aside as a dead letter, with why."""

    def waiting(self, limit: int) -> list[Delivery]:
        """A look at what is not yet acknowledged, the oldest first; claims nothing (attempts as they are)."""

    def dead(self, limit: int) -> list[DeadLetter]:
        """The dead letters, the oldest first."""

    def retry(self, dead_id: str) -> bool:
        """Put a dead letter back with no attempts; False when there is none of this id."""

    def drop(self, dead_id: str) -> bool:
        """Remove a dead letter for good; False when there is none of this id."""

    def depths(self) -> Depths:
        """How much is in the queue now."""

    def ping(self) -> None:
        """Return when the store answers a read and would take a write."""

    def close(self) -> None:
        """Give back connections and files. Nothing may be called afterwards."""
