"""The change for the Postfix of this host: looked at with postconf, tried on a copy, written, and put back."""

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
    """This host's Postfix cannot be changed, or was not, and why."""


@dataclass(frozen=True, slots=True)
class Setup:
    """One Postfix, and what it is to be told. `before`: its files as they are."""

    postfix: Postfix
    directory: Path
    queue_directory: Path
    socket: str
    service: str | None
    before: Files

    @classmethod
    def of(cls, postfix: Postfix, settings: Settings) -> Setup:
        """What is there. Raises Refused where there is no Postfix that can be set up."""
        directory, queue = postfix.config_directory(), postfix.queue_directory()
        if directory is None or queue is None:
            raise Refused(
                "postconf tells nothing of a Postfix here. --postfix-config DIR names its configuration; "
                "`postfix check` says what is wrong in it"
            )
        version = postfix.value("mail_version")
        if int(version.partition(".")[0] or 0) < 3:
            raise Refused(f"this is Postfix {version}: it takes options of a milter from version 3.0 on only")
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
        """What this host needs. Raises Refused where it could not work."""
        change = self._change_of(self.postfix, self.before)
        if change.after != self.before:
            self._must_hold(change.after)
        return change

    def diff(self, after: Files) -> str:
        """Both files as a unified diff."""
        texts = ((self._main, self.before.main, after.main), (self._master, self.before.master, after.master))
        return "\n".join(
            line.rstrip("\n")
            for path, old, new in texts
            for line in difflib.unified_diff(
                old.splitlines(keepends=True), new.splitlines(keepends=True), str(path), f"{path} with Stopit"
            )
        )

    def write(self, after: Files, keep: bool) -> Iterator[tuple[Path, Path | None]]:
        """Write what is different and let Postfix check it. Gives each file, and the copy of what was there.

        Raises Refused when it cannot be written or Postfix complains; then all is as it was."""
        pairs = [(self._main, self.before.main, after.main), (self._master, self.before.master, after.master)]
        if after.main != self.before.main and not keep:
            pairs.reverse()  # what is defined in main.cf goes after what names it
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
            raise Refused(f"{error.filename}: {error.strerror}; everything is as it was") from error
        if complaint:
            self._put_back(changed, copies)
            raise Refused(f"`postfix check` complains, so everything is as it was:\n{complaint}")
        return zip((path for path, _, _ in changed), copies, strict=True)

    def drop_copies(self, after: Files) -> Iterator[Path]:
        """Remove the copies that say what the files say now, and give their names."""
        for path, text in ((self._main, after.main), (self._master, after.master)):
            for copy in files.kept_as(path, text):
                copy.unlink()
                yield copy

    def steps(self, settings: Settings) -> Iterator[str]:
        """What the postmaster has to do beside."""
        campus, names = settings.campus, socket_spellings(self.socket, self.queue_directory)
        local = campus.report_address.partition("@")[0]
        if not self.postfix.alias_of(campus.report_address):
            yield (
                f"Let mail for {campus.report_address} go to the staff mailbox, so that nothing is lost while the "
                f'milter is away. In /etc/aliases: "{local}: {campus.staff_address.partition("@")[0]}", then '
                "newaliases (or both addresses in full in your virtual alias table). Only staff may read that "
                "mailbox."
            )
        if not identify_login(self.postfix.value("milter_mail_macros", expanded=True)):
            yield (
                "milter_mail_macros in main.cf replaces Postfix's own list: put i and {auth_authen} into it, or "
                "nobody is a member and nothing is a flag."
            )
        if any(
            position_of([entry], names) is None for entry in milters_of(self.postfix.value("smtpd_milters", True))
        ):
            yield (
                "Submission has a list of milters of its own now: a milter that you change in main.cf later must be "
                "changed there too."
            )
        if self.service is not None and f"{settings.smtp.host}:{settings.smtp.port}" != self.service:
            yield (
                f"In stopit.toml, [smtp]: port = {self.service.rpartition(':')[2]}. Then systemctl reload "
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
            raise Refused("no smtpd service in master.cf: no mail comes in here, so there is nothing to do")
        shut_in = next((service.name for service in services if service.chroot), None)
        if shut_in and names == [self.socket] and self.socket.startswith("unix:"):
            raise Refused(
                f"{shut_in} runs chrooted below {self.queue_directory} and cannot reach {self.socket}: set "
                f'milter.socket = "unix:{self.queue_directory}/stopit/milter.sock" and restart stopit-milter'
            )
        expanded = {name: postfix.value(name, expanded=True) for name in PARAMETERS}
        return change_for(before, Host(names, services, self.service, expanded))

    def _must_hold(self, after: Files) -> None:
        """Let postconf read the edited files: nothing may be left to do. Raises Refused."""
        with tempfile.TemporaryDirectory(prefix="stopit-setup-") as name:
            for file, text in (("main.cf", after.main), ("master.cf", after.master)):
                path = Path(name) / file
                path.write_text(text, "utf-8", "surrogateescape")
                os.utime(path, (0, 0))  # postconf waits until a file is two seconds old
            if self._change_of(Postfix(Path(name)), after).after != after:
                raise Refused(
                    "these files are written in a way that this program does not know how to edit: take the lines "
                    "over by hand from config/postfix. Nothing was changed"
                )

    def _put_back(self, changed: list[tuple[Path, str, str]], copies: list[Path | None]) -> None:
        for path, old, _ in changed:
            if files.read(path) != old:
                files.replace(path, old)
        for copy in copies:
            if copy is not None:
                copy.unlink(missing_ok=True)
