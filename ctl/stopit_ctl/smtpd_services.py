"""The smtpd services of Postfix's master.cf: the settings in force for each, and the mail it is for. Pure."""

from __future__ import annotations

import re
import socket
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

__all__ = ["SmtpdService", "Use", "identify_login", "milters_of", "position_of", "socket_spellings"]

_SUBMISSION = frozenset({"submission", "submissions", "smtps", "587", "465"})
_OUTSIDE = frozenset({"smtp", "25", "smtpd"})
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]", "::1"})
_ACTION = re.compile(r"default_action\s*=\s*(\w+)")
_ENTRY = re.compile(r"\{[^{}]*\}|[^\s,{}]+")


class Use(Enum):
    """The mail that a service accepts."""

    MEMBERS = auto()
    OUTSIDE = auto()
    RE_INJECTION = auto()
    """Mail that a content filter returns: another smtpd service accepted it before."""
    OTHER = auto()


@dataclass(frozen=True, slots=True)
class SmtpdService:
    """An smtpd service of master.cf.

    `name` and `type` are its first two columns. `options` are its -o options as written; `values` are the expanded
    parameters in force for it.
    """

    name: str
    type: str
    chroot: bool
    options: Mapping[str, str]
    values: Mapping[str, str]

    @property
    def use(self) -> Use:
        """Return the mail that it accepts, as far as the configuration tells."""
        host, _, port = self.name.rpartition(":")
        if port in _SUBMISSION:
            return Use.MEMBERS
        if self.type == "pass" or port in _OUTSIDE:
            return Use.OUTSIDE
        if host in _LOOPBACK and self._is_behind_a_filter():
            return Use.RE_INJECTION
        return Use.MEMBERS if self.takes_logins else Use.OTHER

    @property
    def port(self) -> int | None:
        """Return its port number; None for a port name that this host does not know."""
        name = self.name.rpartition(":")[2]
        if name.isdecimal():
            return int(name)
        try:
            return socket.getservbyname(name, "tcp")
        except OSError:
            return None

    @property
    def takes_logins(self) -> bool:
        """Return whether clients can log in."""
        return self.values.get("smtpd_sasl_auth_enable") == "yes"

    @property
    def asks_no_milter(self) -> bool:
        """Return whether all milters are switched off."""
        return "no_milters" in _words(self.values.get("receive_override_options", ""))

    @property
    def milters(self) -> list[str]:
        """Return the entries of the milters that it asks, in order."""
        return [] if self.asks_no_milter else milters_of(self.values.get("smtpd_milters", ""))

    def action(self, entry: str) -> str:
        """Return the default action in force while the milter of this entry is not available."""
        return _action_of(entry) or self.values.get("milter_default_action", "tempfail")

    def _is_behind_a_filter(self) -> bool:
        overrides = _words(self.options.get("receive_override_options", ""))
        return self.options.get("content_filter") == "" or "no_unknown_recipient_checks" in overrides


def milters_of(value: str) -> list[str]:
    """Split an expanded smtpd_milters value into entries: a socket, or a socket with its options in braces."""
    return _ENTRY.findall(value)


def position_of(entries: Sequence[str], spellings: Collection[str]) -> int | None:
    """Return the position of the entry that names a socket in one of these spellings; None without one."""
    found = (at for at, entry in enumerate(entries) if set(spellings) & set(re.split(r"[\s,{}]+", entry)))
    return next(found, None)


def _action_of(entry: str) -> str:
    """Return the default_action in a milter's entry; "" where milter_default_action applies."""
    found = _ACTION.search(entry)
    return found[1] if found else ""


def identify_login(macros: str) -> bool:
    """Return whether these macros at MAIL give a milter the login and the queue id."""
    names = {name.strip("{}") for name in _words(macros)}
    return {"i", "auth_authen"} <= names


def socket_spellings(url: str, queue_directory: Path) -> list[str]:
    """Return the ways in which Postfix can name the milter's socket (milter.socket), the usual one first."""
    kind, _, place = url.partition(":")
    if kind == "inet":
        port, _, host = place.partition("@")
        return [f"inet:{host}:{port}"]
    path = Path(place)
    if not path.is_relative_to(queue_directory):
        return [url]
    inside = path.relative_to(queue_directory)
    return [f"unix:{inside}", f"unix:/{inside}", url]


def _words(value: str) -> list[str]:
    return re.split(r"[\s,]+", value)
