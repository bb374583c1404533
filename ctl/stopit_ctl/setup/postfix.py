"""Changes the configuration of this host's Postfix: tries it on a copy, writes it, and restores it on error."""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stopit_core.config import Settings
from stopit_ctl.postconf import Postfix
from stopit_ctl.setup import files
from stopit_ctl.setup.change import Change, Files, Host, change_for
from stopit_ctl.smtpd_services import identify_login, milters_of, position_of, socket_spellings

__all__ = ["PARAMETERS", "Refused", "Setup"]

PARAMETERS = (
    "smtpd_milters",
    "non_smtpd_milters",
    "internal_mail_filter_classes",
    "recipient_delimiter",
    "content_filter",
)
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_NOT_OURS = frozenset({25, 465, 587})
_OWN_SERVICE = "127.0.0.1:10587"


class Refused(Exception):
    """The configuration cannot be changed, or was not; the text says why."""


@dataclass(frozen=True, slots=True)
class Setup:
    """The setup of one Postfix.

    `socket` is the milter's. `own_service` is the "host:port" that the notifier sends through, None on another host.
    `before` are the files as they are.
    """

    postfix: Postfix
    directory: Path
    queue_directory: Path
    socket: str
    own_service: str | None
    before: Files

    @classmethod
    def of(cls, postfix: Postfix, settings: Settings) -> Setup:
        """Read the configuration. Raises Refused without a Postfix that can be set up."""
        directory, queue = postfix.config_directory(), postfix.queue_directory()
        if directory is None or queue is None:
            raise Refused(
                "postconf finds no Postfix on this host. --postfix-config DIR sets the directory of its "
                "configuration; `postfix check` shows faults in it"
            )
        version = postfix.value("mail_version")
        if int(version.partition(".")[0] or 0) < 3:
            raise Refused(f"this is Postfix {version}: options of a milter need version 3.0 or newer")
        try:
            before = Files(files.read(directory / "main.cf"), files.read(directory / "master.cf"))
        except OSError as error:
            raise Refused(f"{error.filename}: {error.strerror}") from error
        smtp = settings.smtp
        service = f"{smtp.host}:{smtp.port}" if smtp.port not in _NOT_OURS else _OWN_SERVICE
        return cls(
            postfix, directory, queue, settings.milter.socket, service if smtp.host in _LOOPBACK else None, before
        )

    def change(self) -> Change:
        """Return the change that this host needs. Raises Refused where it cannot work."""
        change = self._change_of(self.postfix, self.before)
        if change.after != self.before:
            self._must_hold(change.after)
        return change

    def diff(self, after: Files) -> str:
        """Return the change of both files as a unified diff."""
        texts = ((self._main, self.before.main, after.main), (self._master, self.before.master, after.master))
        return "\n".join(
            line.rstrip("\n")
            for path, old, new in texts
            for line in difflib.unified_diff(
                old.splitlines(keepends=True), new.splitlines(keepends=True), str(path), f"{path} with Stopit"
            )
        )

    def write(self, after: Files, keep: bool) -> Iterator[tuple[Path, Path | None]]:
        """Write the files that differ, and run `postfix check`. Return each file with the copy of its old text.

        Raises Refused when a file cannot be written or the check fails; both files are then restored.
        """
        pairs = [(self._main, self.before.main, after.main), (self._master, self.before.master, after.master)]
        if after.main != self.before.main and not keep:
            pairs.reverse()  # references in master.cf are removed before the definitions in main.cf
        changed = [pair for pair in pairs if pair[1] != pair[2]]
        copies: list[Path | None] = []
        try:
            copies = [files.keep(path) if keep else None for path, _, _ in changed]
            for path, _, new in changed:
                files.replace(path, new)
            complaint = self.postfix.check()
        except BaseException as error:
            self._put_back(changed, copies)
            if not isinstance(error, OSError):
                raise
            raise Refused(f"{error.filename}: {error.strerror}; nothing was changed") from error
        if complaint:
            self._put_back(changed, copies)
            raise Refused(f"`postfix check` failed, so the old files were restored:\n{complaint}")
        return zip((path for path, _, _ in changed), copies, strict=True)

    def drop_copies(self, after: Files) -> Iterator[Path]:
        """Remove the copies that are equal to the present files, and return their paths."""
        for path, text in ((self._main, after.main), (self._master, after.master)):
            for copy in files.copies_of(path, text):
                copy.unlink()
                yield copy

    def steps(self, settings: Settings) -> Iterator[str]:
        """Return the steps that remain for the postmaster."""
        campus, names = settings.campus, socket_spellings(self.socket, self.queue_directory)
        local = campus.report_address.partition("@")[0]
        if not self.postfix.alias_of(campus.report_address):
            yield (
                f"Deliver mail for {campus.report_address} to the staff mailbox, so that nothing is lost while the "
                f'milter is down. In /etc/aliases: "{local}: {campus.staff_address.partition("@")[0]}", then '
                "newaliases (or both addresses in full in your virtual alias table). Only staff may be able to read "
                "that mailbox."
            )
        if not identify_login(self.postfix.value("milter_mail_macros", expanded=True)):
            yield (
                "milter_mail_macros in main.cf replaces Postfix's own list: add i and {auth_authen} to it, or the "
                "milter knows no members and nothing is a flag."
            )
        if any(
            position_of([entry], names) is None for entry in milters_of(self.postfix.value("smtpd_milters", True))
        ):
            yield (
                "Submission now has its own list of milters: a milter that you change in main.cf must be "
                "changed there too."
            )
        if self.own_service is not None and f"{settings.smtp.host}:{settings.smtp.port}" != self.own_service:
            yield (
                f"In stopit.toml, [smtp]: port = {self.own_service.rpartition(':')[2]}. Then systemctl reload "
                "stopit-notifier."
            )
        yield "postfix reload. Then stopitctl doctor."

    @property
    def _main(self) -> Path:
        return self.directory / "main.cf"

    @property
    def _master(self) -> Path:
        return self.directory / "master.cf"

    def _change_of(self, postfix: Postfix, before: Files) -> Change:
        names = socket_spellings(self.socket, self.queue_directory)
        services = postfix.services()
        if not services:
            raise Refused("there is no smtpd service in master.cf: this host accepts no mail")
        chrooted = next((service.name for service in services if service.chroot), None)
        if chrooted and names == [self.socket] and self.socket.startswith("unix:"):
            raise Refused(
                f"{chrooted} runs chrooted below {self.queue_directory} and cannot reach {self.socket}: set "
                f'milter.socket = "unix:{self.queue_directory}/stopit/milter.sock" and restart stopit-milter'
            )
        expanded = {name: postfix.value(name, expanded=True) for name in PARAMETERS}
        return change_for(before, Host(names, services, self.own_service, expanded))

    def _must_hold(self, after: Files) -> None:
        """Raise Refused unless postconf, on the edited files, finds nothing left to change."""
        with tempfile.TemporaryDirectory(prefix="stopit-setup-") as name:
            for file, text in (("main.cf", after.main), ("master.cf", after.master)):
                path = Path(name) / file
                path.write_text(text, "utf-8", "surrogateescape")
                os.utime(path, (0, 0))  # postconf waits until a file is two seconds old
            if self._change_of(Postfix(Path(name)), after).after != after:
                raise Refused(
                    "these files are written in a way that stopitctl cannot edit: add the lines of config/postfix by "
                    "hand. Nothing was changed"
                )

    def _put_back(self, changed: list[tuple[Path, str, str]], copies: list[Path | None]) -> None:
        for path, old, _ in changed:
            if files.read(path) != old:
                files.replace(path, old)
        for copy in copies:
            if copy is not None:
                copy.unlink(missing_ok=True)
