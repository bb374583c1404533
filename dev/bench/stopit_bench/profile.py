"""Profiles of the benchmark: the sizes of its measurements, from a quick look to a run of hours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

__all__ = ["Profile", "Sizes", "sizes_of"]


class Profile(StrEnum):
    """A profile: QUICK is `--quick`, FULL is `--full`, NORMAL is neither."""

    QUICK = "quick"
    NORMAL = "normal"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Sizes:
    """Numbers of messages per measurement, and of rounds per median.

    `flood`: members who flag one message. `ledger`: numbers of traces that a ledger is filled with. `long`: messages
    of the long run. `backlog`: reports that wait. `paced_seconds`: duration of a load with a fixed rate.
    """

    rounds: int
    protocol: int
    large: int
    paced_seconds: float
    postfix: int
    ledger: tuple[int, ...]
    finds: int
    flood: int
    flood_rounds: int
    backlog: int
    window: int
    long: int
    curve_rounds: int
    curve_ledger: tuple[int, ...]


_NORMAL = Sizes(
    rounds=7,
    protocol=8000,
    large=12_000,
    paced_seconds=3.0,
    postfix=2500,
    ledger=(1_000_000,),
    finds=2000,
    flood=10_000,
    flood_rounds=5,
    backlog=100_000,
    window=700,
    long=50_000,
    curve_rounds=3,
    curve_ledger=(10_000, 100_000, 1_000_000),
)


def sizes_of(profile: Profile, rounds: int | None = None) -> Sizes:
    """Return the sizes of a profile. `rounds` replaces its number of rounds."""
    match profile:
        case Profile.QUICK:
            sizes = replace(
                _NORMAL,
                rounds=3,
                protocol=1600,
                large=600,
                paced_seconds=0.4,
                postfix=250,
                ledger=(50_000,),
                finds=500,
                flood=300,
                flood_rounds=1,
                backlog=5000,
                window=200,
                long=10_000,
                curve_rounds=1,
                curve_ledger=(10_000,),
            )
        case Profile.NORMAL:
            sizes = _NORMAL
        case Profile.FULL:
            sizes = replace(
                _NORMAL,
                ledger=(1_000_000, 10_000_000, 30_000_000),
                backlog=1_000_000,
                long=1_000_000,
                curve_ledger=(10_000, 100_000, 1_000_000, 10_000_000),
            )
    return sizes if rounds is None else replace(sizes, rounds=rounds, flood_rounds=rounds)
