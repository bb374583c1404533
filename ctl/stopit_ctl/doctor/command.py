"""`stopitctl doctor`: each part of a running site, connected to as it will be connected to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click

from stopit_core import config
from stopit_core.errors import ConfigError
from stopit_core.identity.keys import Keyring, read_key
from stopit_ctl.check import probe_files
from stopit_ctl.cli import EX_FOUND
from stopit_ctl.doctor.host import answers, probe_clock, probe_disk, probe_metrics
from stopit_ctl.doctor.milter import probe_milter
from stopit_ctl.doctor.redis import probe_redis
from stopit_ctl.doctor.secret_permissions import probe_secret_permissions
from stopit_ctl.doctor.self_test import probe_by_self_test
from stopit_ctl.doctor.smtp import probe_smtp
from stopit_ctl.doctor.stores import probe_as, probe_stores
from stopit_ctl.doctor.submission import SubmissionEndpoint, submission_endpoint
from stopit_ctl.local_site import Site, sqlite_file
from stopit_ctl.postconf import Postfix
from stopit_ctl.probe_results import ProbeResult, Status, print_results
from stopit_ctl.smtpd_services import position_of, socket_spellings

__all__ = ["doctor"]


@click.command()
@click.option(
    "--postfix-config",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Configuration of the Postfix that asks the milter. [default: the system's]",
)
@click.option("--send-test", is_flag=True, help="Send a message to nobody through all parts, and time each leg.")
@click.option("--test-door", metavar="HOST:PORT", help="Where the test comes in. [default: the notifier's own door]")
@click.option(
    "--test-login",
    metavar="NAME",
    default="",
    help="Log in there, with the password in $STOPIT_TEST_PASSWORD or asked for.",
)
@click.option(
    "--test-within",
    metavar="SECONDS",
    type=click.FloatRange(min=1),
    default=45.0,
    show_default=True,
    help="How long each leg of the test may take.",
)
@click.pass_obj
def doctor(
    site: Site,
    postfix_config: Path | None,
    send_test: bool,
    test_door: str | None,
    test_login: str,
    test_within: float,
) -> None:
    """Try every part of a running site, each as it is used.

    The milter's socket is tried as user postfix, from inside Postfix's chroot
    where it lies there; the stores as the daemons' users; the MTA up to RCPT
    TO. Nothing is sent and nothing changed. What cannot be tried without root
    is named.

    --send-test does send: one message that is marked as a test, from nobody
    to nobody, by the MTA, the milter, the queue and the notifier, whose answer
    passes the milter once more. No person gets anything, also in observe mode,
    and no case is made. With --test-login it comes in as a member's mail does,
    and shows whether the milter is told who logs in:

    \b
        stopitctl doctor --send-test --test-login test-account \\
            --test-door mail.example.edu:587
    """
    settings = site.settings()
    endpoint = (
        submission_endpoint(settings.smtp, test_door, test_login, site.notifier_user.read) if send_test else None
    )
    results = _everything(site, settings, Postfix(postfix_config), endpoint, test_within)
    found = print_results(site.output, results)
    count = sum(result.status is Status.FAULT for result in found)
    if count:
        site.output.line(f"{count} of {len(found)} findings are faults.")
        raise click.exceptions.Exit(EX_FOUND)
    site.output.line("No fault was found.")


def _everything(
    site: Site, settings: config.Settings, postfix: Postfix, endpoint: SubmissionEndpoint | None, test_within: float
) -> Iterator[ProbeResult]:
    now = site.clock()
    yield from probe_files(site, settings)
    yield from probe_secret_permissions(settings, (site.milter_user, site.notifier_user))
    yield from probe_stores(site, settings, running=True, reads=answers(settings.notifier.metrics))
    yield from probe_as(site.notifier_user, lambda: probe_redis(settings, site.notifier_user.read))
    milter = list(probe_milter(settings.milter.socket, postfix.queue_directory()))
    yield from milter
    own = submission_endpoint(settings.smtp, None, "")
    yield from postfix.look(settings.milter.socket, own.port if own.is_here else None)
    yield from _alias(settings, postfix)
    yield from _smtp(site, settings)
    yield from probe_metrics("stopit-milter", settings.milter.metrics, now)
    yield from probe_metrics("stopit-notifier", settings.notifier.metrics, now)
    yield from probe_disk(_directories(settings))
    yield from probe_clock(now)
    if endpoint is not None:
        if unseen := _unseen(settings, postfix, endpoint, milter):
            yield unseen
        else:
            yield from probe_by_self_test(site, settings, endpoint, test_within)
    if os.geteuid() != 0:
        yield ProbeResult.untried("what only the daemons' users and postfix may open", "run doctor as root")


def _unseen(
    settings: config.Settings, postfix: Postfix, endpoint: SubmissionEndpoint, milter: list[ProbeResult]
) -> ProbeResult | None:
    """Why the test is not sent: where no milter takes its recipient away, it would end in the staff mailbox."""
    why = ""
    if any(result.status is Status.FAULT for result in milter):
        why = "away"
    queue = postfix.queue_directory()
    services = postfix.services() if endpoint.is_here and queue is not None else []
    service = next((service for service in services if service.port == endpoint.port), None)
    if queue and service and position_of(service.milters, socket_spellings(settings.milter.socket, queue)) is None:
        why = f"not asked at {endpoint.name}"
    if not why:
        return None
    return ProbeResult.fault(f"test: not sent, because the milter is {why}", "mend what is named above first")


def _alias(settings: config.Settings, postfix: Postfix) -> Iterator[ProbeResult]:
    """Whether mail for the report address goes anywhere while the milter is away."""
    if postfix.queue_directory() is None:
        return
    if postfix.alias_of(settings.campus.report_address):
        yield ProbeResult.ok("postfix: an alias says where the report address's mail goes")
    else:
        yield ProbeResult.untried(
            "postfix: no alias of the report address was found in alias_maps and virtual_alias_maps",
            "see that its mail goes to the staff mailbox: that is where flags go while the milter is away",
        )


def _smtp(site: Site, settings: config.Settings) -> Iterator[ProbeResult]:
    with site.notifier_user.acting():
        try:
            keyring: Keyring = read_key(settings.ledger.key_file, site.notifier_user.read)
        except ConfigError:
            return  # the key was found faulty among the files
    yield from probe_as(
        site.notifier_user, lambda: probe_smtp(settings.smtp, settings.campus, keyring, site.notifier_user.read)
    )


def _directories(settings: config.Settings) -> list[Path]:
    files = (sqlite_file(url) for url in (settings.ledger.url, settings.queue.url, settings.cases.url))
    return [settings.queue.spool_dir.parent, *(file.parent for file in files if file is not None)]
