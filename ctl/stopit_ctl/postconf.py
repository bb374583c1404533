"""Reads the configuration of this host's Postfix with postconf(1), as it is in force.

main.cf sets parameters for all services; the -o options of a service in master.cf override them for that service.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stopit_ctl.pseudo_terminal import run_on_terminal
from stopit_ctl.smtpd_services import SmtpdService

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
    """One Postfix instance. `configuration`: its directory, None for the system's own."""

    configuration: Path | None

    def config_directory(self) -> Path | None:
        """Return the directory of main.cf and master.cf; None without a Postfix."""
        path = self.value("config_directory")
        return Path(path) if path else None

    def queue_directory(self) -> Path | None:
        """Return the directory of the queue, which is also the chroot of smtpd; None without a Postfix."""
        path = self.value("queue_directory")
        return Path(path) if path else None

    def value(self, name: str, expanded: bool = False) -> str:
        """Return a parameter of main.cf, or its default; "" without a Postfix."""
        return self._postconf("-xh" if expanded else "-h", name)

    def services(self) -> list[SmtpdService]:
        """Return the network services that smtpd serves, in the order of master.cf."""
        own = _options(self._postconf("-P"))
        default = "n" if self.value("compatibility_level") >= "1" else "y"
        services = []
        for row in (line.split() for line in self._postconf("-M").splitlines()):
            if len(row) < 8 or row[1] not in ("inet", "pass") or row[7] != "smtpd":
                continue
            options = own.get((row[0], row[1]), {})
            over = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
            values = _values(self._postconf(*over, "-x", *_PER_SERVICE))
            chroot = (default if row[4] == "-" else row[4]) == "y"
            services.append(SmtpdService(row[0], row[1], chroot, options, values))
        return services

    def alias_of(self, address: str) -> str:
        """Look up an address in virtual_alias_maps, and its local part in alias_maps; "" without an alias."""
        local = address.partition("@")[0]
        for program, key, maps in (
            ("postmap", address, "virtual_alias_maps"),
            ("postalias", local, "alias_maps"),
        ):
            for table in re.split(r"[\s,]+", self.value(maps, expanded=True)):
                if table and (alias := self._run(program, "-q", key, table)):
                    return alias
        return ""

    def check(self) -> str:
        """Return the errors of `postfix check`, "" when it succeeds. Needs root."""
        command = ["postfix", *self._config_options(), "check"]
        try:
            code, output = run_on_terminal(command, _TIMEOUT)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        return (output or f"exit code {code}") if code else ""

    def _postconf(self, *arguments: str) -> str:
        return self._run("postconf", *arguments) or ""

    def _run(self, program: str, *arguments: str) -> str | None:
        """Return the output of a program of Postfix; None when it fails."""
        command = [program, *self._config_options(), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    def _config_options(self) -> list[str]:
        return ["-c", str(self.configuration.absolute())] if self.configuration else []


def _options(text: str) -> dict[tuple[str, str], dict[str, str]]:
    """Parse the -o options of each service from `postconf -P`: service/type/parameter = value."""
    services: dict[tuple[str, str], dict[str, str]] = {}
    for line in text.splitlines():
        left, equals, value = line.partition("=")
        parts = left.strip().rsplit("/", 2)
        if equals and len(parts) == 3:
            services.setdefault((parts[0], parts[1]), {})[parts[2]] = value.strip()
    return services


def _values(text: str) -> Mapping[str, str]:
    """Parse parameters and their values from `postconf NAME ...`."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
