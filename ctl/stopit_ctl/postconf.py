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

from stopit_ctl.milter_kinds import MilterKind, kind_of
from stopit_ctl.probe_results import ProbeResult
from stopit_ctl.pseudo_terminal import run_on_terminal
from stopit_ctl.smtpd_services import SmtpdService, Use, identify_login, position_of, socket_spellings

__all__ = ["Postfix"]

_TIMEOUT = 30.0
_PER_SERVICE = (
    "smtpd_milters",
    "smtpd_sasl_auth_enable",
    "milter_default_action",
    "receive_override_options",
    "milter_mail_macros",
)


@dataclass(frozen=True, slots=True)
class Postfix:
    """One instance. `configuration`: its directory, None for the system's own."""

    configuration: Path | None

    def config_directory(self) -> Path | None:
        """Where main.cf and master.cf are; None without a Postfix."""
        said = self.value("config_directory")
        return Path(said) if said else None

    def queue_directory(self) -> Path | None:
        """Where it keeps its queue, and smtpd its chroot; None without a Postfix."""
        said = self.value("queue_directory")
        return Path(said) if said else None

    def value(self, name: str, expanded: bool = False) -> str:
        """What main.cf says of a parameter, or what holds without; "" without a Postfix."""
        return self._said("-xh" if expanded else "-h", name)

    def services(self) -> list[SmtpdService]:
        """The network services that smtpd serves, in the order of master.cf."""
        own = _options(self._said("-P"))
        default = "n" if self.value("compatibility_level") >= "1" else "y"
        services = []
        for row in (line.split() for line in self._said("-M").splitlines()):
            if len(row) < 8 or row[1] not in ("inet", "pass") or row[7] != "smtpd":
                continue
            options = own.get((row[0], row[1]), {})
            over = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
            values = _values(self._said(*over, "-x", *_PER_SERVICE))
            chroot = (default if row[4] == "-" else row[4]) == "y"
            services.append(SmtpdService(row[0], row[1], chroot, options, values))
        return services

    def alias_of(self, address: str) -> str:
        """What the alias tables say of an address, "" when they say nothing. Looks into virtual_alias_maps, and by
        the local part into alias_maps."""
        local = address.partition("@")[0]
        for program, key, maps in (
            ("postmap", address, "virtual_alias_maps"),
            ("postalias", local, "alias_maps"),
        ):
            for table in re.split(r"[\s,]+", self.value(maps, expanded=True)):
                if table and (said := self._run(program, "-q", key, table)):
                    return said
        return ""

    def check(self) -> str:
        """What `postfix check` complains of, "" when it lets the configuration pass. Only root can ask."""
        command = ["postfix", *self._where(), "check"]
        try:
            code, said = run_on_terminal(command, _TIMEOUT)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        return (said or f"it ended with {code}") if code else ""

    def look(self, socket: str, way_out: int | None = None) -> Iterator[ProbeResult]:
        """Whether the milter at `socket` (milter.socket) is asked, by which services, and with what when it is away.
        `way_out`: the port that the notifier sends through, where it is one of this host. Nothing where there is no
        Postfix."""
        queue = self.queue_directory()
        if queue is None:
            return
        names = socket_spellings(socket, queue)
        found = False
        for service in self.services():
            at = position_of(service.milters, names)
            found = found or at is not None
            yield from _judged(service, at)
            if (
                at is not None
                and way_out is not None
                and service.port == way_out
                and service.action(service.milters[at]) == "accept"
            ):
                yield ProbeResult.fault(
                    f"postfix: Stopit sends through {service.name}, which lets mail pass while the milter is away",
                    "`stopitctl setup postfix` makes a door of its own; then set smtp.port in stopit.toml",
                )
        if not found:
            yield ProbeResult.fault(
                f"postfix: no smtpd_milters names {names[0]}",
                "let Postfix ask the milter: `stopitctl setup postfix` shows the lines for main.cf and master.cf",
            )

    def _said(self, *arguments: str) -> str:
        return self._run("postconf", *arguments) or ""

    def _run(self, program: str, *arguments: str) -> str | None:
        """What a program of Postfix's prints; None when it fails."""
        command = [program, *self._where(), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    def _where(self) -> list[str]:
        return ["-c", str(self.configuration.absolute())] if self.configuration else []


def _judged(service: SmtpdService, at: int | None) -> Iterator[ProbeResult]:
    """What is to be said of one service; `at`: which of its milters is ours."""
    members = service.use is Use.MEMBERS or (service.use is Use.OUTSIDE and service.takes_logins)
    if at is None:
        if members:
            yield ProbeResult.fault(
                f"postfix: {service.name} takes members' mail and does not ask the milter",
                "set smtpd_milters there, or no member can flag by it",
            )
        elif service.use is Use.OUTSIDE:
            yield ProbeResult.fault(
                f"postfix: {service.name} does not ask the milter",
                "set smtpd_milters in main.cf: of mail from outside there is no trace, so staff decide on each flag",
            )
        return
    action = service.action(service.milters[at])
    if members and action == "accept":
        yield ProbeResult.fault(
            f"postfix: {service.name} takes members' mail and says default_action=accept",
            "set default_action=tempfail there, or a flag reaches the sender while the milter is away",
        )
    else:
        yield ProbeResult.ok(f"postfix: {service.name} asks the milter, default_action={action}")
    yield from _order(service, at)
    if members and not identify_login(service.values.get("milter_mail_macros", "")):
        yield ProbeResult.fault(
            f"postfix: {service.name} does not tell the milter who logs in",
            "put i and {auth_authen} into milter_mail_macros: without them nothing is a flag",
        )


def _order(service: SmtpdService, at: int) -> Iterator[ProbeResult]:
    """What is asked before Stopit, and may sign what Stopit then changes."""
    for entry in service.milters[:at]:
        match kind_of(entry):
            case MilterKind.SIGNS:
                yield ProbeResult.fault(
                    f"postfix: {service.name} asks {entry} before Stopit, and that signs mail",
                    "put Stopit first in smtpd_milters: an edit after signing breaks the signature",
                )
            case MilterKind.UNKNOWN:
                yield ProbeResult.untried(
                    f"postfix: {service.name} asks {entry} before Stopit; whether that signs mail",
                    "if it does, put Stopit first in smtpd_milters",
                )
            case MilterKind.DOES_NOT:
                pass


def _options(text: str) -> dict[tuple[str, str], dict[str, str]]:
    """The -o options of each service, from `postconf -P`: service/type/parameter = value."""
    services: dict[tuple[str, str], dict[str, str]] = {}
    for line in text.splitlines():
        left, equals, value = line.partition("=")
        parts = left.strip().rsplit("/", 2)
        if equals and len(parts) == 3:
            services.setdefault((parts[0], parts[1]), {})[parts[2]] = value.strip()
    return services


def _values(text: str) -> Mapping[str, str]:
    """Parameters and their values, from `postconf NAME ...`."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
