"""Who has a mailbox in the lab: a small cast, many times over, so that tests can share one Postfix.

A test takes a `Cast` of its own number. Its people have no history with anyone, so that cool-downs and daily caps of
one test never touch another. Number 0 has the plain names (`vera@campus.example`): the demo's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["CAMPUS", "DOMAINS", "ELSEWHERE", "LOST", "REPORT", "STAFF", "Cast", "aliases", "login_of", "mailboxes"]

CAMPUS = "campus.example"
ELSEWHERE = "elsewhere.example"
DOMAINS = (CAMPUS, ELSEWHERE)
LOST = "lost.example"
"""Mail that an alias sends here is taken at first and bounces afterwards."""

REPORT = f"stopit@{CAMPUS}"
STAFF = f"stopit-staff@{CAMPUS}"

_NAMES = ("mallory", "vera", "walt", "bob", "eve", "olga")
_CASTS = range(400)


def _numbered(name: str, number: int) -> str:
    return f"{name}-{number}" if number else name


@dataclass(frozen=True, slots=True)
class Cast:
    """One set of people. Names are logins; an address is the login at the campus's domain."""

    number: int = 0

    def __post_init__(self) -> None:
        if self.number not in _CASTS:
            raise ValueError(f"there are casts 0 to {_CASTS.stop - 1}, not {self.number}")

    @property
    def mallory(self) -> str:
        """Who sends what nobody wants."""
        return self._address("mallory")

    @property
    def vera(self) -> str:
        """Who reports it."""
        return self._address("vera")

    @property
    def walt(self) -> str:
        """Who got it too."""
        return self._address("walt")

    @property
    def bob(self) -> str:
        """Who has nothing to do with it."""
        return self._address("bob")

    @property
    def eve(self) -> str:
        """Who never received it and reports it all the same."""
        return self._address("eve")

    @property
    def olga(self) -> str:
        """Who writes from another site, unauthenticated."""
        return f"{_numbered('olga', self.number)}@{ELSEWHERE}"

    @property
    def everyone(self) -> str:
        """A list: an alias for mallory, vera and walt."""
        return self._address("everyone")

    @property
    def mallory_alias(self) -> str:
        """Another address of mallory's, rewritten by the MTA."""
        return self._address("m.mallory")

    @property
    def gone(self) -> str:
        """An address that is taken and bounces later."""
        return self._address("gone")

    def _address(self, name: str) -> str:
        return f"{_numbered(name, self.number)}@{CAMPUS}"


def login_of(address: str) -> str:
    """The login of a campus address."""
    return address.partition("@")[0]


def mailboxes() -> Iterator[tuple[str, str]]:
    """Every mailbox, as local part and domain."""
    yield STAFF.partition("@")[0], CAMPUS
    for number in _CASTS:
        for name in _NAMES:
            for domain in DOMAINS:
                yield _numbered(name, number), domain


def aliases() -> dict[str, tuple[str, ...]]:
    """Alias to what it stands for. The report address goes to staff, so nothing is lost while the milter is away."""
    table: dict[str, tuple[str, ...]] = {REPORT: (STAFF,)}
    for number in _CASTS:
        cast = Cast(number)
        table[cast.everyone] = (cast.mallory, cast.vera, cast.walt)
        table[cast.mallory_alias] = (cast.mallory,)
        table[cast.gone] = (f"nobody@{LOST}",)
    return table
