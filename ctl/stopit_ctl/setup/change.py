"""Decides which edits of main.cf and master.cf this host needs, and which its postmaster must decide on. Pure.

A setting that is in force already stays as it is written, so a second run changes nothing. Port 25 always gets
default_action=accept, because Stopit must not block mail.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from stopit_ctl.setup import main_cf, master_cf
from stopit_ctl.setup.snippets import (
    FILTER_CLASSES,
    FROM_MEMBERS,
    FROM_OUTSIDE,
    MEMBERS,
    RE_INJECTION,
    definition,
    milters_option,
    own_service,
)
from stopit_ctl.smtpd_services import SmtpdService, Use, milters_of, position_of

__all__ = ["Change", "Files", "Host", "change_for", "undone"]


@dataclass(frozen=True, slots=True)
class Files:
    """The text of both files."""

    main: str
    master: str


@dataclass(frozen=True, slots=True)
class Host:
    """The host as postconf shows it, with the settings of stopit.toml.

    `names` are the spellings of the milter's socket, first the one to write. `own_service` is "host:port", None where
    the notifier sends through another host. `expanded` has the parameters of main.cf in force.
    """

    names: Sequence[str]
    services: Sequence[SmtpdService]
    own_service: str | None
    expanded: dict[str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """The edited files, and remarks on what the postmaster must decide."""

    after: Files
    remarks: tuple[str, ...]


def change_for(before: Files, host: Host) -> Change:
    """Return the change that this host needs."""
    edit = _Edit(before, host)
    edit.outside()
    edit.without_smtpd()
    edit.reply_address()
    for service in host.services:
        edit.service(service)
    edit.missing_services()
    edit.own_service()
    return Change(edit.finished(), tuple(edit.remarks))


def undone(files: Files) -> Files:
    """Return the files without any addition of `change_for`; later edits of other people stay."""
    main, definitions = main_cf.without_block(files.main)
    master, _ = main_cf.without_block(files.master)
    names = main_cf.values(definitions).keys() & {FROM_OUTSIDE, FROM_MEMBERS, FILTER_CLASSES}
    master = master_cf.without_options(master)
    return Files(main_cf.without_names(main, names), main_cf.without_names(master, names))


@dataclass(slots=True)
class _Edit:
    """The two files during the edits."""

    before: Files
    host: Host
    main: str = field(init=False)
    master: str = field(init=False)
    wanted: list[str] = field(default_factory=list)
    below: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.main, self.master = self.before.main, self.before.master

    def outside(self) -> None:
        """Edit smtpd_milters of main.cf, for port 25 and every service without its own setting."""
        entries = milters_of(self.host.expanded["smtpd_milters"])
        at = position_of(entries, self.host.names)
        if at is None:
            self._put("smtpd_milters", FROM_OUTSIDE)
        elif at:
            self.remarks.append(_not_first("smtpd_milters in main.cf", entries))

    def without_smtpd(self) -> None:
        """Edit the settings for mail that no smtpd service accepts: bounces, and mail of programs on this host."""
        value = self.host.expanded["non_smtpd_milters"]
        raw = self._raw("non_smtpd_milters")
        if position_of(milters_of(value), self.host.names) is None and not _refers(raw, "smtpd_milters"):
            self._put("non_smtpd_milters", FROM_OUTSIDE)
        if "bounce" not in re.split(r"[\s,]+", self.host.expanded["internal_mail_filter_classes"]):
            if self._raw("internal_mail_filter_classes"):
                self._put("internal_mail_filter_classes", FILTER_CLASSES)
            else:
                self._put("internal_mail_filter_classes", "")

    def reply_address(self) -> None:
        """Edit recipient_delimiter, because the reply address of Stopit's mail has a tag."""
        value = self.host.expanded["recipient_delimiter"]
        if "+" in value:
            return
        if "recipient_delimiter" in main_cf.values(self.main):
            self.remarks.append(
                f'recipient_delimiter is "{value}", and answers are sent to stopit+TOKEN@: set it to "{value}+", or '
                "deliver that address to the report address in another way"
            )
        else:
            self._put("recipient_delimiter", "")

    def service(self, service: SmtpdService) -> None:
        """Edit one service of master.cf."""
        if service.name == self.host.own_service:
            return
        if service.asks_no_milter:
            if service.use in (Use.MEMBERS, Use.OUTSIDE):
                self.remarks.append(f"{service.name} asks no milter: it has no_milters in receive_override_options")
            return
        match service.use:
            case Use.MEMBERS:
                self._members(service)
            case Use.OUTSIDE:
                self._from_outside(service)
            case Use.RE_INJECTION:
                self._reinjection(service)
            case Use.OTHER:
                self._unknown(service)

    def missing_services(self) -> None:
        """Add remarks on the services that are missing in master.cf."""
        uses = {service.use for service in self.host.services if service.name != self.host.own_service}
        if Use.MEMBERS not in uses:
            self.remarks.append(
                "there is no submission service: members submit their mail in another way, and cannot flag safely "
                "through port 25. Set up submission (587 or 465) in master.cf, and run this again"
            )
        if self.host.expanded["content_filter"] and Use.RE_INJECTION not in uses:
            self.remarks.append(
                f"content_filter is {self.host.expanded['content_filter']}, and no service was recognised as the one "
                "on which it reinjects mail: add -o smtpd_milters= to that service in master.cf, or each message "
                "leaves a second trace"
            )

    def own_service(self) -> None:
        """Edit or add the service that the notifier sends through."""
        wanted = self.host.own_service
        if wanted is None:
            self.remarks.append(
                "smtp.host in stopit.toml is another host: the dedicated service for Stopit's mail, which defers it "
                "while the milter is down, belongs there (run this there, with smtp.host = 127.0.0.1)"
            )
            return
        existing = next((service for service in self.host.services if service.name == wanted), None)
        if existing is not None:
            self._members(existing)
            return
        columns = [line.split()[4] for line in self.master.split("\n") if _is_smtpd(line)]
        chroot = columns[0] if columns else "y"
        self.below = own_service(wanted, chroot, self._others())
        self._want(FROM_MEMBERS)

    def finished(self) -> Files:
        """Return both files with all edits."""
        if not self.wanted:
            return self.before
        order = [FROM_OUTSIDE, FROM_MEMBERS, FILTER_CLASSES]
        names = sorted(self.wanted, key=lambda name: order.index(name) if name in order else len(order))
        lines = [line for name in names for line in definition(name, self.host.names[0])]
        master = main_cf.with_block(self.master, self.below) if self.below else self.master
        return Files(main_cf.with_block(self.main, lines), master)

    def _members(self, service: SmtpdService) -> None:
        at = position_of(service.milters, self.host.names)
        if "smtpd_milters" in service.options:
            if at is None:
                entry = master_cf.entry_of(self.master, service.name, service.type)
                self.master = master_cf.put_first(self.master, entry, "smtpd_milters", f"${FROM_MEMBERS}")
                self._want(FROM_MEMBERS)
                return
            self._check_existing(service, at, "tempfail")
        elif at is not None and service.action(service.milters[at]) == "tempfail":
            self._check_existing(service, at, "tempfail")
        else:
            self._add(service, MEMBERS, milters_option(f"${FROM_MEMBERS}", self._others()))
            self._want(FROM_MEMBERS)

    def _from_outside(self, service: SmtpdService) -> None:
        at = position_of(service.milters, self.host.names)
        if at is not None:
            self._check_existing(service, at, "accept")
        elif "smtpd_milters" in service.options:
            entry = master_cf.entry_of(self.master, service.name, service.type)
            self.master = master_cf.put_first(self.master, entry, "smtpd_milters", f"${FROM_OUTSIDE}")
            self._want(FROM_OUTSIDE)
        if service.takes_logins:
            self.remarks.append(
                f"{service.name} takes logins too (smtpd_sasl_auth_enable): a flag that a member sends there reaches "
                "the sender while the milter is down. Let members use submission, and set "
                f"-o smtpd_sasl_auth_enable=no for {service.name} in master.cf"
            )

    def _reinjection(self, service: SmtpdService) -> None:
        if "smtpd_milters" not in service.options:
            self._add(service, RE_INJECTION, milters_option(self._others()))
        elif position_of(service.milters, self.host.names) is not None:
            self.remarks.append(
                f"{service.name} accepts reinjected mail of a content filter, and asks Stopit a second time: remove "
                "Stopit from its smtpd_milters, or senders become ambiguous"
            )

    def _unknown(self, service: SmtpdService) -> None:
        if "smtpd_milters" in service.options:
            return
        self.remarks.append(
            f"{service.name}: its use is not known, so its mail is handled as mail from outside. If it accepts "
            f"members' mail (webmail), add {milters_option(f'${FROM_MEMBERS}').strip()} to it in master.cf; if a "
            "content filter reinjects mail there, add -o smtpd_milters="
        )

    def _check_existing(self, service: SmtpdService, at: int, wanted: str) -> None:
        """Add remarks on faults of a service that asks our milter already."""
        action = service.action(service.milters[at])
        if action != wanted:
            self.remarks.append(f"{service.name} asks the milter with default_action={action}: set it to {wanted}")
        if at:
            self.remarks.append(_not_first(service.name, service.milters))

    def _add(self, service: SmtpdService, mark: str, option: str) -> None:
        entry = master_cf.entry_of(self.master, service.name, service.type)
        self.master = master_cf.add_option(self.master, entry, mark, option)

    def _put(self, name: str, word: str) -> None:
        """Add a parameter to main.cf, or put `word` first in its existing value."""
        if not word or name not in main_cf.values(self.before.main):
            self._want(name)
            if name in ("smtpd_milters", "non_smtpd_milters"):
                self._want(FROM_OUTSIDE)
            return
        self.main = main_cf.put_first(self.main, name, f"${word}")
        self._want(word)

    def _want(self, name: str) -> None:
        """Add a parameter to our block, unless main.cf sets it already."""
        if name not in self.wanted and name not in main_cf.values(self.before.main):
            self.wanted.append(name)

    def _others(self) -> str:
        """Return the other milters of main.cf as they are written."""
        raw = main_cf.without_names(self._raw("smtpd_milters"), {FROM_OUTSIDE, FROM_MEMBERS}).strip()
        entries = [entry for entry in milters_of(raw) if position_of([entry], self.host.names) is None]
        return ", ".join(entries)

    def _raw(self, name: str) -> str:
        """Return a parameter of main.cf as written, on one line; "" when it is not set."""
        return main_cf.values(self.before.main).get(name, "")


def _refers(value: str, name: str) -> bool:
    return re.search(rf"\$[({{]?{name}\b", value) is not None


def _is_smtpd(line: str) -> bool:
    columns = line.split()
    return len(columns) >= 8 and not line[0].isspace() and columns[1] == "inet" and columns[7] == "smtpd"


def _not_first(where: str, entries: Sequence[str]) -> str:
    return f"{where} asks {entries[0]} before Stopit: put Stopit first, or its edits break DKIM signatures"
