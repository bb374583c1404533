"""The queue: reports on their way from the milter to the notifier. Durable, at least once.

Two backends, SQLite and Redis (Streams with a consumer group), implement `Queue` and pass
tests/contract/test_queue.py. Both have the same states:

    put -> waiting -> claimed (for `lease` seconds) -> acknowledged: gone
              ^           |  lease passed: claimed again, attempts + 1
              |           v  after `max_attempts` deliveries, or `bury`
            retry <---- dead -> drop: gone

A report that is put twice (a client's retry, a spool drained through a crash) may be delivered twice; the case record
recognises reports by their id and takes each once. Acknowledge by the delivery's id, after the commit, never before.

The consumer that claims checks the lease: all consumers use the same length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["DeadLetter", "Delivery", "Depths", "Queue", "exhausted"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivered report. `id` is the store's own, for `ack`; `attempts` includes this delivery (from 1)."""

    id: str
    payload: bytes
    attempts: int
    put_at: float


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A report that is set aside: it is not claimed until a person calls `retry`."""

    id: str
    payload: bytes
    attempts: int
    put_at: float
    buried_at: float
    error: str


@dataclass(frozen=True, slots=True)
class Depths:
    """The numbers of reports in the queue. A claimed report counts as claimed after its lease, too.

    `oldest_age` is in seconds, of the oldest report that is neither acknowledged nor a dead letter.
    """

    waiting: int
    claimed: int
    dead: int
    oldest_age: float


def exhausted(max_attempts: int) -> str:
    """Return the error of a report that became a dead letter without `bury`."""
    return f"claimed {max_attempts} times and never acknowledged"


class Queue(Protocol):
    """The interface of a queue. Methods are thread-safe, and raise `errors.Transient` if the store cannot be used
    now."""

    def put(self, report_id: str, payload: bytes) -> str:
        """Store a report (`wire.encode_report`). It is durable on return.

        Returns "" if nothing else need be done. Otherwise returns the replication id that the report was written
        under: a failover may discard it, so the caller must keep a copy until that is no longer possible
        (`failover_copies`).
        """

    def replication_id(self) -> str:
        """Return the current replication id; "" if there is only one server. Raises Transient if it cannot be
        determined."""

    def claim(
        self, consumer: str, limit: int, lease: float, wait: float = 0.0, again: int | None = None
    ) -> list[Delivery]:
        """Claim up to `limit` reports for this consumer, those whose lease passed first. Waits up to `wait` seconds.

        With `again`, claims at most that many whose lease passed; the others stay for a later claim. A report that
        was delivered `max_attempts` times becomes a dead letter instead of being delivered again.
        """

    def ack(self, delivery_id: str) -> None:
        """Remove the report, which is done. Does nothing for an unknown id or on repetition."""

    def ack_all(self, delivery_ids: Sequence[str]) -> None:
        """Acknowledge each of these in one call."""

    def bury(self, delivery_id: str, error: str) -> None:
        """Set the report aside as a dead letter, with the error."""

    def waiting(self, limit: int) -> list[Delivery]:
        """Return reports that are not yet acknowledged, the oldest first; claims nothing (attempts are unchanged)."""

    def dead(self, limit: int) -> list[DeadLetter]:
        """Return the dead letters, the oldest first."""

    def retry(self, dead_id: str) -> bool:
        """Put a dead letter back with no attempts; return False if there is none with this id."""

    def drop(self, dead_id: str) -> bool:
        """Remove a dead letter for good; return False if there is none with this id."""

    def depths(self) -> Depths:
        """Return the current numbers of reports in the queue."""

    def ping(self) -> None:
        """Return if the store answers a read and would take a write."""

    def close(self) -> None:
        """Close connections and files. Call no method afterwards."""
