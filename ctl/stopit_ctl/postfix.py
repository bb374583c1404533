"""Whether this host's Postfix asks the milter, and does the right thing while it is away.

Submission must put mail off then (tempfail): a reply that flags would else reach the sender. Port 25 may accept.
postconf(1) tells what is in force: main.cf, and for each service of master.cf what its -o options say instead.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from stopit_ctl.findings import Finding

__all__ = ["Postfix"]

_TIMEOUT = 10.0
_SUBMISSION = frozenset({"submission", "submissions", "smtps", "587", "465"})
_OUTSIDE = frozenset({"smtp", "25"})
_PARAMETERS = ("smtpd_milters", "smtpd_sasl_auth_enable", "milter_default_action")
_ACTION = re.compile(r"default_action\s*=\s*(\w+)")


@dataclass(frozen=True, slots=True)
class Postfix:
    """One instance. `configuration`: its directory, None for the system's own."""

    configuration: Path | None

    def queue_directory(self) -> Path | None:
        """Where it keeps its queue, and smtpd its chroot; None without a Postfix."""
        said = self._said("-h", "queue_directory")
        return Path(said) if said else None

    def look(self, socket: str) -> Iterator[Finding]:
        """Whether the milter at `socket` (milter.socket) is asked, by which services, and with what when it is away.
        Nothing where there is no Postfix."""
        queue = self.queue_directory()
        if queue is None:
            return
        names = _spellings(socket, queue)
        main = {name: self._said("-xh", name) for name in _PARAMETERS}
        own = _options(self._said("-xP"))
        found = False
        for service in _smtpd_services(self._said("-M")):
            options = {**main, **own.get(service, {})}
            entry = _entry(options["smtpd_milters"], names)
            found = found or bool(entry)
            yield from _judged(service, options, entry)
        if not found:
            yield Finding.fault(
                f"postfix: no smtpd_milters names {names[0]}",
                "let Postfix ask the milter: config/postfix holds the lines for main.cf and master.cf",
            )

    def _said(self, *arguments: str) -> str:
        command = ["postconf", *(["-c", str(self.configuration)] if self.configuration else []), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""


def _judged(service: str, options: Mapping[str, str], entry: str) -> Iterator[Finding]:
    """What is to be said of one smtpd service; `entry` is how it names the milter, "" when it does not."""
    port = service.rpartition(":")[2]
    members = port in _SUBMISSION or options["smtpd_sasl_auth_enable"] == "yes"
    if not entry:
        if members:
            yield Finding.fault(
                f"postfix: {service} takes members' mail and does not ask the milter",
                "set smtpd_milters there, or no member can flag by it",
            )
        elif port in _OUTSIDE:
            yield Finding.fault(
                f"postfix: {service} does not ask the milter",
                "set smtpd_milters in main.cf: of mail from outside there is no trace, so staff decide on each flag",
            )
        return
    said = _ACTION.search(entry)
    action = said[1] if said else options["milter_default_action"]
    if members and action == "accept":
        yield Finding.fault(
            f"postfix: {service} takes members' mail and says default_action=accept",
            "set default_action=tempfail there, or a flag reaches the sender while the milter is away",
        )
    else:
        yield Finding.ok(f"postfix: {service} asks the milter, default_action={action}")


def _smtpd_services(text: str) -> list[str]:
    """The network services of master.cf that smtpd serves, from `postconf -M`."""
    rows = (line.split() for line in text.splitlines())
    return [row[0] for row in rows if len(row) >= 8 and row[1] in ("inet", "pass") and row[7] == "smtpd"]


def _options(text: str) -> dict[str, dict[str, str]]:
    """The -o options of each service, from `postconf -P`: service/type/parameter = value."""
    services: dict[str, dict[str, str]] = {}
    for line in text.splitlines():
        left, equals, value = line.partition("=")
        parts = left.strip().rsplit("/", 2)
        if equals and len(parts) == 3:
            services.setdefault(parts[0], {})[parts[2]] = value.strip()
    return services


def _spellings(socket: str, queue: Path) -> list[str]:
    """How Postfix may name the milter's socket, the usual way first."""
    kind, _, place = socket.partition(":")
    if kind == "inet":
        port, _, host = place.partition("@")
        return [f"inet:{host}:{port}"]
    path = Path(place)
    if not path.is_relative_to(queue):
        return [socket]
    inside = path.relative_to(queue)
    return [f"unix:{inside}", f"unix:/{inside}", socket]


def _entry(milters: str, names: list[str]) -> str:
    """The part of an smtpd_milters value that names our socket, with its options in braces; "" when none does."""
    entries: list[str] = re.findall(r"\{[^{}]*\}|[^\s,{}]+", milters)
    return next((entry for entry in entries if set(names) & set(re.split(r"[\s,{}]+", entry))), "")
