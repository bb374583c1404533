"""The people of the lab: a small cast in any number of copies, so that tests can share one Postfix.

Each test takes a `Cast` with its own number. Its people have no history, so that cool-downs and daily caps of one
test do not affect another. Number 0 has the plain names (`vera@campus.example`) and is for the demo.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["CAMPUS", "DOMAINS", "ELSEWHERE", "LOST", "REPORT", "STAFF", "Cast", "aliases", "login_of", "mailboxes"]

CAMPUS = "campus.example"
ELSEWHERE = "elsewhere.example"
DOMAINS = (CAMPUS, ELSEWHERE)
LOST = "lost.example"
"""Mail that an alias forwards here is accepted and bounces later."""

REPORT = f"stopit@{CAMPUS}"
STAFF = f"stopit-staff@{CAMPUS}"

_NAMES = ("mallory", "vera", "walt", "bob", "eve", "olga")
_CASTS = range(1000)


def _numbered(name: str, number: int) -> str:
    return f"{name}-{number}" if number else name


@dataclass(frozen=True, slots=True)
class Cast:
    """A set of people. Names are logins; an address is the login at the campus's domain."""

    number: int = 0

    def __post_init__(self) -> None:
        if self.number not in _CASTS:
            raise ValueError(f"there are casts 0 to {_CASTS.stop - 1}, not {self.number}")

    @property
    def mallory(self) -> str:
        """The sender of unwanted mail."""
        return self._address("mallory")

    @property
    def vera(self) -> str:
        """The recipient who reports it."""
        return self._address("vera")

    @property
    def walt(self) -> str:
        """The other recipient."""
        return self._address("walt")

    @property
    def bob(self) -> str:
        """A bystander."""
        return self._address("bob")

    @property
    def eve(self) -> str:
        """A member who reports it without having received it."""
        return self._address("eve")

    @property
    def olga(self) -> str:
        """A writer from another site, unauthenticated."""
        return f"{_numbered('olga', self.number)}@{ELSEWHERE}"

    @property
    def everyone(self) -> str:
        """A list: an alias for mallory, vera and walt."""
        return self._address("everyone")

    @property
    def mallory_alias(self) -> str:
        """Another address of mallory, which the MTA rewrites."""
        return self._address("m.mallory")

    @property
    def gone(self) -> str:
        """An address that accepts mail and bounces it later."""
        return self._address("gone")

    def _address(self, name: str) -> str:
        return f"{_numbered(name, self.number)}@{CAMPUS}"


def login_of(address: str) -> str:
    """Return the login of a campus address."""
    return address.partition("@")[0]


def mailboxes() -> Iterator[tuple[str, str]]:
    """Every mailbox, as local part and domain."""
    yield STAFF.partition("@")[0], CAMPUS
    for number in _CASTS:
        for name in _NAMES:
            for domain in DOMAINS:
                yield _numbered(name, number), domain


def aliases() -> dict[str, tuple[str, ...]]:
    """The aliases and their targets. The report address goes to staff, so that nothing is lost without the milter."""
    table: dict[str, tuple[str, ...]] = {REPORT: (STAFF,)}
    for number in _CASTS:
        cast = Cast(number)
        table[cast.everyone] = (cast.mallory, cast.vera, cast.walt)
        table[cast.mallory_alias] = (cast.mallory,)
        table[cast.gone] = (f"nobody@{LOST}",)
    return table
