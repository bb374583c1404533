"""Fills a ledger with the traces of two weeks, through the same code as the milter."""

from __future__ import annotations

from collections.abc import Callable

from stopit_bench.reports import trace_of
from stopit_core.identity.keys import Keyring
from stopit_core.stores.ledger import Ledger

__all__ = ["DAYS", "fill"]

DAYS = 14
_BATCH = 500
_TOLD = 1_000_000


def fill(
    ledger: Ledger, keyring: Keyring, count: int, now: float, *, days: int = DAYS, say: Callable[[str], None]
) -> None:
    """Write traces 0 to count - 1, spread over this many days before `now`."""
    for at in range(0, count, _BATCH):
        if at and at % _TOLD == 0:
            say(f"{at:,} of {count:,} traces")
        numbers = range(at, min(at + _BATCH, count))
        ledger.write([trace_of(keyring, number, now - 60 - number % days * 86_400) for number in numbers])
