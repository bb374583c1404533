"""Which edits of main.cf and master.cf this host needs, and what only its postmaster can decide. Pure.

What is in force already is left alone, however it is written, so a second run finds nothing to do. Port 25 never gets
anything but default_action=accept: nobody's mail may be blocked by Stopit.
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
    """What postconf tells of this host, and stopit.toml of the site.

    `names` are the spellings of the milter's socket, the one to write first. `own_service` is "host:port", None where
    the notifier sends through another host. `expanded` holds main.cf parameters as they are in force.
    """

    names: Sequence[str]
    services: Sequence[SmtpdService]
    own_service: str | None
    expanded: dict[str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """The files as they should be, and what was left because it is not ours to decide."""

    after: Files
    left: tuple[str, ...]


def change_for(before: Files, host: Host) -> Change:
    """What this host needs."""
    edit = _Edit(before, host)
    edit.outside()
    edit.not_by_smtp()
    edit.answers()
    for service in host.services:
        edit.service(service)
    edit.looked()
    edit.own_service()
    return Change(edit.finished(), tuple(edit.left))


def undone(files: Files) -> Files:
    """The files without anything that `change_for` ever puts in; what somebody else wrote since stays."""
    main, definitions = main_cf.without_block(files.main)
    master, _ = main_cf.without_block(files.master)
    names = main_cf.values(definitions).keys() & {FROM_OUTSIDE, FROM_MEMBERS, FILTER_CLASSES}
    master = master_cf.without_options(master)
    return Files(main_cf.without_names(main, names), main_cf.without_names(master, names))


@dataclass(slots=True)
class _Edit:
    """Both files while they are edited."""

    before: Files
    host: Host
    main: str = field(init=False)
    master: str = field(init=False)
    wanted: list[str] = field(default_factory=list)
    below: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.main, self.master = self.before.main, self.before.master

    def outside(self) -> None:
        """smtpd_milters of main.cf: port 25, and every door that says nothing of its own."""
        entries = milters_of(self.host.expanded["smtpd_milters"])
        at = position_of(entries, self.host.names)
        if at is None:
            self._put("smtpd_milters", FROM_OUTSIDE)
        elif at:
            self.left.append(_not_first("smtpd_milters in main.cf", entries))

    def not_by_smtp(self) -> None:
        """Mail that comes in by no smtpd: bounces, and programs on this host."""
        value = self.host.expanded["non_smtpd_milters"]
        raw = self._raw("non_smtpd_milters")
        if position_of(milters_of(value), self.host.names) is None and not _refers(raw, "smtpd_milters"):
            self._put("non_smtpd_milters", FROM_OUTSIDE)
        if "bounce" not in re.split(r"[\s,]+", self.host.expanded["internal_mail_filter_classes"]):
            if self._raw("internal_mail_filter_classes"):
                self._put("internal_mail_filter_classes", FILTER_CLASSES)
            else:
                self._put("internal_mail_filter_classes", "")

    def answers(self) -> None:
        """The reply address of what Stopit sends has a tag."""
        value = self.host.expanded["recipient_delimiter"]
        if "+" in value:
            return
        if "recipient_delimiter" in main_cf.values(self.main):
            self.left.append(
                f'recipient_delimiter is "{value}" here, and answers come to stopit+TOKEN@: set it to "{value}+", or '
                "make another way for that address to the report address"
            )
        else:
            self._put("recipient_delimiter", "")

    def service(self, service: SmtpdService) -> None:
        """One service of master.cf."""
        if service.name == self.host.own_service:
            return
        if service.asks_no_milter:
            if service.use in (Use.MEMBERS, Use.OUTSIDE):
                self.left.append(f"{service.name} has no_milters in receive_override_options, so it asks no milter")
            return
        match service.use:
            case Use.MEMBERS:
                self._members(service)
            case Use.OUTSIDE:
                self._from_outside(service)
            case Use.RE_INJECTION:
                self._again(service)
            case Use.OTHER:
                self._unknown(service)

    def looked(self) -> None:
        """Say what no service of master.cf was found for."""
        uses = {service.use for service in self.host.services if service.name != self.host.own_service}
        if Use.MEMBERS not in uses:
            self.left.append(
                "no submission service: members' mail comes in by another way here, and whoever sends it through "
                "port 25 cannot flag safely. Set up submission (587 or 465) in master.cf, and run this again"
            )
        if self.host.expanded["content_filter"] and Use.RE_INJECTION not in uses:
            self.left.append(
                f"content_filter is {self.host.expanded['content_filter']}, and no service was recognised as the one "
                "by which it hands mail back: where it does, add -o smtpd_milters= in master.cf, or each message "
                "leaves a second trace"
            )

    def own_service(self) -> None:
        """The notifier's way out."""
        wanted = self.host.own_service
        if wanted is None:
            self.left.append(
                "smtp.host in stopit.toml is another host: the notifier's own door, shut while the milter is away, "
                "belongs there (run this there, with smtp.host on 127.0.0.1)"
            )
            return
        there = next((service for service in self.host.services if service.name == wanted), None)
        if there is not None:
            self._members(there)
            return
        columns = [line.split()[4] for line in self.master.split("\n") if _is_smtpd(line)]
        chroot = columns[0] if columns else "y"
        self.below = own_service(wanted, chroot, self._others())
        self._want(FROM_MEMBERS)

    def finished(self) -> Files:
        """Both files with all edits in them."""
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
            self._is_right(service, at, "tempfail")
        elif at is not None and service.action(service.milters[at]) == "tempfail":
            self._is_right(service, at, "tempfail")
        else:
            self._add(service, MEMBERS, milters_option(f"${FROM_MEMBERS}", self._others()))
            self._want(FROM_MEMBERS)

    def _from_outside(self, service: SmtpdService) -> None:
        at = position_of(service.milters, self.host.names)
        if at is not None:
            self._is_right(service, at, "accept")
        elif "smtpd_milters" in service.options:
            entry = master_cf.entry_of(self.master, service.name, service.type)
            self.master = master_cf.put_first(self.master, entry, "smtpd_milters", f"${FROM_OUTSIDE}")
            self._want(FROM_OUTSIDE)
        if service.takes_logins:
            self.left.append(
                f"{service.name} takes logins too (smtpd_sasl_auth_enable): a flag that a member sends there reaches "
                "the sender while the milter is away. Let members use submission, and set "
                f"-o smtpd_sasl_auth_enable=no for {service.name} in master.cf"
            )

    def _again(self, service: SmtpdService) -> None:
        if "smtpd_milters" not in service.options:
            self._add(service, RE_INJECTION, milters_option(self._others()))
        elif position_of(service.milters, self.host.names) is not None:
            self.left.append(
                f"{service.name} takes back what a content filter has seen, and asks Stopit a second time: take it "
                "out of smtpd_milters there, or senders come out as ambiguous"
            )

    def _unknown(self, service: SmtpdService) -> None:
        if "smtpd_milters" in service.options:
            return
        self.left.append(
            f"{service.name}: nothing tells what comes in there. It is handled as mail from outside. If members' "
            f"mail comes in there (webmail), add {milters_option(f'${FROM_MEMBERS}').strip()} to it in master.cf; if "
            "mail comes back there from a content filter, add -o smtpd_milters="
        )

    def _is_right(self, service: SmtpdService, at: int, wanted: str) -> None:
        """Say what is wrong with the way in which our milter is asked there already."""
        action = service.action(service.milters[at])
        if action != wanted:
            self.left.append(f"{service.name} asks the milter with default_action={action}: make it {wanted}")
        if at:
            self.left.append(_not_first(service.name, service.milters))

    def _add(self, service: SmtpdService, mark: str, option: str) -> None:
        entry = master_cf.entry_of(self.master, service.name, service.type)
        self.master = master_cf.add_option(self.master, entry, mark, option)

    def _put(self, name: str, word: str) -> None:
        """Give main.cf the parameter, or put `word` first in the one that it has."""
        if not word or name not in main_cf.values(self.before.main):
            self._want(name)
            if name in ("smtpd_milters", "non_smtpd_milters"):
                self._want(FROM_OUTSIDE)
            return
        self.main = main_cf.put_first(self.main, name, f"${word}")
        self._want(word)

    def _want(self, name: str) -> None:
        """Have the parameter defined in our block, unless somebody wrote the same by hand."""
        if name not in self.wanted and name not in main_cf.values(self.before.main):
            self.wanted.append(name)

    def _others(self) -> str:
        """The milters of main.cf beside ours, as they are written there."""
        raw = main_cf.without_names(self._raw("smtpd_milters"), {FROM_OUTSIDE, FROM_MEMBERS}).strip()
        entries = [entry for entry in milters_of(raw) if position_of([entry], self.host.names) is None]
        return ", ".join(entries)

    def _raw(self, name: str) -> str:
        """What the file says of a parameter, on one line; "" when it says nothing."""
        return main_cf.values(self.before.main).get(name, "")


def _refers(value: str, name: str) -> bool:
    return re.search(rf"\$[({{]?{name}\b", value) is not None


def _is_smtpd(line: str) -> bool:
    columns = line.split()
    return len(columns) >= 8 and not line[0].isspace() and columns[1] == "inet" and columns[7] == "smtpd"


def _not_first(where: str, entries: Sequence[str]) -> str:
    return f"{where} asks {entries[0]} before Stopit: put Stopit first, or its edits break a DKIM signature"
