"""Probes whether this host's Postfix asks the milter, and what it does while the milter is down.

Submission must then defer mail (tempfail), because a reply that flags would otherwise reach the sender. Port 25 may
accept it.
"""

from __future__ import annotations

from collections.abc import Iterator

from stopit_ctl.milter_kinds import MilterKind, kind_of
from stopit_ctl.postconf import Postfix
from stopit_ctl.probe_results import ProbeResult
from stopit_ctl.smtpd_services import SmtpdService, Use, identify_login, position_of, socket_spellings

__all__ = ["asks_milter", "probe_postfix", "probe_report_alias"]


def probe_postfix(postfix: Postfix, socket: str, notifier_port: int | None = None) -> Iterator[ProbeResult]:
    """Probe each smtpd service for the milter at `socket` (milter.socket). No result without a Postfix.

    `notifier_port`: the port that the notifier sends through, None for a port of another host.
    """
    queue = postfix.queue_directory()
    if queue is None:
        return
    spellings = socket_spellings(socket, queue)
    found = False
    for service in postfix.services():
        at = position_of(service.milters, spellings)
        yield from _service(service, at)
        if at is None:
            continue
        found = True
        sends = notifier_port is not None and service.port == notifier_port
        if sends and service.action(service.milters[at]) == "accept":
            yield ProbeResult.fault(
                f"postfix: Stopit sends through {service.name}, which accepts mail while the milter is down",
                "`stopitctl setup postfix` adds a service for the notifier; then set smtp.port in stopit.toml",
            )
    if not found:
        yield ProbeResult.fault(
            f"postfix: no smtpd_milters names {spellings[0]}",
            "`stopitctl setup postfix` shows the lines for main.cf and master.cf",
        )


def probe_report_alias(postfix: Postfix, report_address: str) -> Iterator[ProbeResult]:
    """Probe whether an alias delivers mail for the report address while the milter is down."""
    if postfix.queue_directory() is None:
        return
    if postfix.alias_of(report_address):
        yield ProbeResult.ok("postfix: there is an alias for the report address")
    else:
        yield ProbeResult.untried(
            "postfix: no alias of the report address was found in alias_maps and virtual_alias_maps",
            "make sure that its mail is delivered to the staff mailbox: flags go there while the milter is not "
            "available",
        )


def asks_milter(postfix: Postfix, port: int | None, socket: str) -> bool | None:
    """Return whether the smtpd service at this port of this host asks the milter; None when it is not known."""
    queue = postfix.queue_directory()
    if port is None or queue is None:
        return None
    service = next((service for service in postfix.services() if service.port == port), None)
    return None if service is None else position_of(service.milters, socket_spellings(socket, queue)) is not None


def _service(service: SmtpdService, at: int | None) -> Iterator[ProbeResult]:
    """Probe one service. `at`: the position of Stopit among its milters."""
    members = service.use is Use.MEMBERS or (service.use is Use.OUTSIDE and service.takes_logins)
    if at is None:
        if members:
            yield ProbeResult.fault(
                f"postfix: {service.name} accepts members' mail and does not ask the milter",
                "set smtpd_milters for it, or no member can flag through it",
            )
        elif service.use is Use.OUTSIDE:
            yield ProbeResult.fault(
                f"postfix: {service.name} does not ask the milter",
                "set smtpd_milters in main.cf: mail from outside leaves no trace, so staff must decide on each flag",
            )
        return
    action = service.action(service.milters[at])
    if members and action == "accept":
        yield ProbeResult.fault(
            f"postfix: {service.name} accepts members' mail and has default_action=accept",
            "set default_action=tempfail, or a flag reaches the sender while the milter is down",
        )
    else:
        yield ProbeResult.ok(f"postfix: {service.name} asks the milter, default_action={action}")
    yield from _order(service, at)
    if members and not identify_login(service.values.get("milter_mail_macros", "")):
        yield ProbeResult.fault(
            f"postfix: {service.name} does not tell the milter the login",
            "add i and {auth_authen} to milter_mail_macros: without them nothing is a flag",
        )


def _order(service: SmtpdService, at: int) -> Iterator[ProbeResult]:
    """Probe the milters before Stopit: one that signs mail signs what Stopit changes afterwards."""
    for entry in service.milters[:at]:
        match kind_of(entry):
            case MilterKind.SIGNS:
                yield ProbeResult.fault(
                    f"postfix: {service.name} asks {entry}, which signs mail, before Stopit",
                    "put Stopit first in smtpd_milters: a change after signing breaks the signature",
                )
            case MilterKind.UNKNOWN:
                yield ProbeResult.untried(
                    f"postfix: {service.name} asks {entry} before Stopit; whether it signs mail",
                    "if it does, put Stopit first in smtpd_milters",
                )
            case MilterKind.DOES_NOT:
                pass
