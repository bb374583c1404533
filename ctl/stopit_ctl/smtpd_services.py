"""A door of Postfix: one smtpd service of master.cf with all that counts for it, and what is it there for. Pure."""

from __future__ import annotations

import re
import socket
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

__all__ = ["Door", "Use", "action_of", "milters_of", "naming", "says_who", "spellings"]

_SUBMISSION = frozenset({"submission", "submissions", "smtps", "587", "465"})
_OUTSIDE = frozenset({"smtp", "25", "smtpd"})
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]", "::1"})
_ACTION = re.compile(r"default_action\s*=\s*(\w+)")
_ENTRY = re.compile(r"\{[^{}]*\}|[^\s,{}]+")


class Use(Enum):
    """Who comes in by a door."""

    MEMBERS = auto()
    OUTSIDE = auto()
    RE_INJECTION = auto()
    """Mail that a content filter hands back: it passed another door before."""
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class Door:
    """One smtpd service. `options` are its own -o options as written; `values` what is in force for it, expanded."""

    service: str
    kind: str
    chroot: bool
    options: Mapping[str, str]
    values: Mapping[str, str]

    @property
    def use(self) -> Use:
        """Who comes in, as far as the configuration tells."""
        host, _, port = self.service.rpartition(":")
        if port in _SUBMISSION:
            return Use.MEMBERS
        if self.kind == "pass" or port in _OUTSIDE:
            return Use.OUTSIDE
        if host in _LOOPBACK and self._is_behind_a_filter():
            return Use.RE_INJECTION
        return Use.MEMBERS if self.takes_logins else Use.OTHER

    @property
    def port(self) -> int | None:
        """Its port number; None where it is a name that this host does not know."""
        name = self.service.rpartition(":")[2]
        if name.isdecimal():
            return int(name)
        try:
            return socket.getservbyname(name, "tcp")
        except OSError:
            return None

    @property
    def takes_logins(self) -> bool:
        """Whether a client can log in here."""
        return self.values.get("smtpd_sasl_auth_enable") == "yes"

    @property
    def asks_no_milter(self) -> bool:
        """Whether all milters are switched off here."""
        return "no_milters" in _words(self.values.get("receive_override_options", ""))

    @property
    def milters(self) -> list[str]:
        """The milters that are asked, in order."""
        return [] if self.asks_no_milter else milters_of(self.values.get("smtpd_milters", ""))

    def action(self, entry: str) -> str:
        """What happens here while this one of `milters` is away."""
        return action_of(entry) or self.values.get("milter_default_action", "tempfail")

    def _is_behind_a_filter(self) -> bool:
        overrides = _words(self.options.get("receive_override_options", ""))
        return self.options.get("content_filter") == "" or "no_unknown_recipient_checks" in overrides


def milters_of(value: str) -> list[str]:
    """The parts of an expanded smtpd_milters value: each a name, or a name with its options in braces."""
    return _ENTRY.findall(value)


def naming(entries: Sequence[str], names: Collection[str]) -> int | None:
    """The place in the list of the one that names our socket in one of its spellings; None when none does."""
    ours = (at for at, entry in enumerate(entries) if set(names) & set(re.split(r"[\s,{}]+", entry)))
    return next(ours, None)


def action_of(entry: str) -> str:
    """The default_action that a milter's entry says itself, "" when it leaves it to milter_default_action."""
    said = _ACTION.search(entry)
    return said[1] if said else ""


def says_who(macros: str) -> bool:
    """Whether a milter that gets these macros at MAIL knows the login and the queue id."""
    names = {name.strip("{}") for name in _words(macros)}
    return {"i", "auth_authen"} <= names


def spellings(url: str, queue: Path) -> list[str]:
    """How Postfix may name the milter's socket (milter.socket), the usual way first."""
    kind, _, place = url.partition(":")
    if kind == "inet":
        port, _, host = place.partition("@")
        return [f"inet:{host}:{port}"]
    path = Path(place)
    if not path.is_relative_to(queue):
        return [url]
    inside = path.relative_to(queue)
    return [f"unix:{inside}", f"unix:/{inside}", url]


def _words(value: str) -> list[str]:
    return re.split(r"[\s,]+", value)
