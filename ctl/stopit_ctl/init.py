"""`stopitctl init`: write a configuration and a key for a new site, without overwriting existing ones."""

from __future__ import annotations

import grp
import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from stopit_core import config
from stopit_core.credentials import DIRECTORY
from stopit_core.errors import ConfigError
from stopit_core.identity.keys import new_key
from stopit_ctl.cli import EX_FOUND
from stopit_ctl.console_output import ConsoleOutput
from stopit_ctl.local_site import Site

__all__ = ["init", "is_unconfigured"]

_STATE = Path("/var/lib/stopit")
_CONFIG = "stopit.toml"
_KEY = "site.key"
_GROUP = "stopit"


@click.command()
@click.argument("domain")
@click.option(
    "--dir",
    "directory",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    default=DIRECTORY,
    show_default=True,
    help="Directory for stopit.toml and site.key.",
)
@click.option(
    "--state-dir",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    default=_STATE,
    show_default=True,
    help="Directory of queue, spool and ledger; the case record is in DIR-notifier.",
)
@click.option("--name", help="Name of the campus in messages. [default: DOMAIN]")
@click.option("--report-address", metavar="ADDRESS", help="[default: stopit@DOMAIN]")
@click.option("--staff-address", metavar="ADDRESS", help="[default: stopit-staff@DOMAIN]")
@click.option("--force", is_flag=True, help="Write a new stopit.toml, and rename the old one. The key stays.")
@click.pass_obj
def init(
    site: Site,
    domain: str,
    directory: Path,
    state_dir: Path,
    name: str | None,
    report_address: str | None,
    staff_address: str | None,
    force: bool,
) -> None:
    """Write a configuration and a site key for DOMAIN.

    DOMAIN is your members' mail domain. An existing configuration is kept,
    unless --force is given or it contains only comments. An existing key is
    always kept: with another key, no trace in the ledger and no reply address
    in a message already sent could be read.
    """
    directory, state_dir = directory.absolute(), state_dir.absolute()
    values: dict[str, dict[str, Any]] = {
        "campus": {
            "name": name or domain,
            "domains": [domain],
            "report_address": report_address or f"stopit@{domain}",
            "staff_address": staff_address or f"stopit-staff@{domain}",
        },
    }
    if directory != DIRECTORY:
        values["ledger"] = {"key_file": directory / _KEY}
    if state_dir != _STATE:
        values["queue"] = {"url": f"sqlite:///{state_dir}/queue.db", "spool_dir": state_dir / "spool"}
        values.setdefault("ledger", {})["url"] = f"sqlite:///{state_dir}/ledger.db"
        values["cases"] = {"url": f"sqlite:///{state_dir}-notifier/cases.db"}
    text = config.describe(values)
    settings = _usable(text)
    try:
        written = _write(site.output, _Place(directory), text, force)
    except OSError as error:
        site.output.error(f"stopitctl: {error.filename or directory}: {error.strerror}; --dir sets another directory")
        raise click.exceptions.Exit(EX_FOUND) from error
    if not written:
        raise click.exceptions.Exit(EX_FOUND)
    site.output.text("\n".join(_next_steps(settings, directory / _CONFIG)))


@dataclass(frozen=True, slots=True)
class _Place:
    """The directory of configuration and key.

    The daemons' group can read both where it exists, else only the owner. Only the owner can read a key that systemd
    passes to the daemons.
    """

    directory: Path

    def make(self) -> None:
        if not self.directory.is_dir():
            self.directory.mkdir(mode=0o750, parents=True)
            self._set_mode(self.directory, 0o750, 0o755)

    def write(self, name: str, text: str) -> None:
        """Write a new file. Raises FileExistsError."""
        path = self.directory / name
        path.touch(mode=0o600, exist_ok=False)
        if not (name == _KEY and self.directory == DIRECTORY):
            self._set_mode(path, 0o640, 0o600)
        with path.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    @staticmethod
    def _set_mode(path: Path, shared: int, private: int) -> None:
        group = _group_id()
        if group is None:
            path.chmod(private)
            return
        os.chown(path, -1, group)
        path.chmod(shared)


def _group_id() -> int | None:
    """Return the daemons' group, where it exists and this user may give files to it."""
    try:
        group = grp.getgrnam(_GROUP).gr_gid
    except KeyError:
        return None
    return group if os.geteuid() == 0 or group in os.getgroups() else None


def _usable(text: str) -> config.Settings:
    try:
        return config.parse(text, _CONFIG)
    except ConfigError as error:
        raise click.UsageError("\n".join(str(fault) for fault in error.faults)) from error


def _write(output: ConsoleOutput, place: _Place, text: str, force: bool) -> bool:
    """Write the missing files and print their names. Return False when none was missing."""
    place.make()
    path, key = place.directory / _CONFIG, place.directory / _KEY
    force = force or is_unconfigured(path)
    if path.exists() and key.exists() and not force:
        output.error(
            f"stopitctl: {path} and {key} exist already; --force writes a new {_CONFIG} and renames the old one (the"
            " key stays)"
        )
        return False
    if is_unconfigured(path):
        path.unlink()
    elif path.exists() and force:
        kept = _free_name(path)
        path.rename(kept)
        output.line(f"kept     {kept} (the former {path})")
    if path.exists():
        output.line(f"kept     {path}")
    else:
        place.write(_CONFIG, text)
        output.line(f"written  {path}")
    if key.exists():
        output.line(f"kept     {key}: with another key, no trace and no reply address could be read")
    else:
        place.write(_KEY, new_key() + "\n")
        output.line(f"written  {key}: keep a copy of it with your backups")
    if _group_id() is None:
        output.line(f"         Only you can read them; give them to the group {_GROUP} (0640) when it exists.")
    return True


def is_unconfigured(path: Path) -> bool:
    """Return whether it contains only comments, like the file of the Debian package, and may be replaced."""
    try:
        return tomllib.loads(path.read_text("utf-8")) == {}
    except (OSError, ValueError):
        return False


def _free_name(path: Path) -> Path:
    number = 1
    while (kept := path.with_name(f"{path.name}.{number}")).exists():
        number += 1
    return kept


def _next_steps(settings: config.Settings, path: Path) -> Iterator[str]:
    campus = settings.campus
    yield from (
        "",
        "Next:",
        "1. Check the emergency numbers, the offices and the policy in",
        f"   {path}. Then:",
        f"       stopitctl --config {path} check",
        "2. Start the daemons:",
        "       systemctl enable --now stopit-milter stopit-notifier",
        f"3. Make the MTA deliver mail for {campus.report_address} to",
        f"   {campus.staff_address}: an alias, and a mailbox that only staff can read.",
        "4. Show the changes to Postfix that this host needs, and apply them:",
        f"       stopitctl --config {path} setup postfix",
        f"       stopitctl --config {path} setup postfix --apply",
        "   It prints the remaining steps: port = 10587 in [smtp], and a reload.",
        "   For Sendmail: stopitctl setup sendmail.",
        "5. Test the whole site, as root:",
        f"       stopitctl --config {path} doctor --send-test",
        'You can run the first week with mode = "observe" in [milter]: nothing is',
        "changed, withheld or sent.",
    )
