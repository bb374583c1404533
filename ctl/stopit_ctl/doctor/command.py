"""`stopitctl doctor`: probe each part of a running site in the way in which it is used."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import click

from stopit_core import config
from stopit_ctl.cli import EX_FOUND
from stopit_ctl.doctor.as_user import probe_as
from stopit_ctl.doctor.clock import probe_clock
from stopit_ctl.doctor.disk import probe_disk
from stopit_ctl.doctor.files import probe_files
from stopit_ctl.doctor.metrics import probe_metrics, serves_metrics
from stopit_ctl.doctor.milter import probe_milter
from stopit_ctl.doctor.postfix import asks_milter, probe_postfix, probe_report_alias
from stopit_ctl.doctor.redis import probe_redis
from stopit_ctl.doctor.secret_permissions import probe_secret_permissions
from stopit_ctl.doctor.self_test import probe_by_self_test
from stopit_ctl.doctor.smtp import probe_smtp
from stopit_ctl.doctor.stores import probe_stores
from stopit_ctl.doctor.submission import SubmissionEndpoint, submission_endpoint
from stopit_ctl.local_site import Site
from stopit_ctl.postconf import Postfix
from stopit_ctl.probe_results import ProbeResult, Status, print_results

__all__ = ["doctor"]


@click.command()
@click.option(
    "--postfix-config",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Configuration of the Postfix that asks the milter. [default: the system's]",
)
@click.option("--send-test", is_flag=True, help="Send a test message through all parts, and time each step.")
@click.option(
    "--test-door", metavar="HOST:PORT", help="Submit the test message here. [default: where the notifier does]"
)
@click.option(
    "--test-login",
    metavar="NAME",
    default="",
    help="Log in at --test-door, with the password in $STOPIT_TEST_PASSWORD, or prompt for it.",
)
@click.option(
    "--test-within",
    metavar="SECONDS",
    type=click.FloatRange(min=1),
    default=45.0,
    show_default=True,
    help="Time limit of each step of the test.",
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
    """Try every part of a running site in the way it is used.

    The milter's socket is tried as user postfix, from inside Postfix's chroot
    if it is there; the stores are tried as the daemons' users, and the MTA up
    to RCPT TO. Nothing is sent and nothing is changed. Without root, the parts
    that could not be tried are listed.

    With --send-test, one message marked as a test goes through the MTA, the
    milter, the queue and the notifier, and the notifier's answer passes the
    milter again. Nobody receives either message, no case is opened, and the
    test works in observe mode too. With --test-login, the message is submitted
    as a member's mail is, which shows whether the MTA tells the milter the
    login:

    \b
        stopitctl doctor --send-test --test-login test-account \\
            --test-door mail.example.edu:587
    """
    settings = site.settings()
    endpoint = None
    if send_test:
        endpoint = submission_endpoint(settings.smtp, test_door, test_login, site.notifier_user.read)
    results = print_results(site.output, _probes(site, settings, Postfix(postfix_config), endpoint, test_within))
    count = sum(result.status is Status.FAULT for result in results)
    if count:
        site.output.line(f"{count} of {len(results)} results are faults.")
        raise click.exceptions.Exit(EX_FOUND)
    site.output.line("No fault was found.")


def _probes(
    site: Site, settings: config.Settings, postfix: Postfix, endpoint: SubmissionEndpoint | None, test_within: float
) -> Iterator[ProbeResult]:
    now = site.clock()
    notifier = site.notifier_user
    yield from probe_files(site, settings)
    yield from probe_secret_permissions(settings, (site.milter_user, notifier))
    yield from probe_stores(site, settings, running=True, reads=serves_metrics(settings.notifier.metrics))
    yield from probe_as(notifier, lambda: probe_redis(settings, notifier.read))
    milter = list(probe_milter(settings.milter.socket, postfix.queue_directory()))
    yield from milter
    yield from probe_postfix(postfix, settings.milter.socket, submission_endpoint(settings.smtp).local_port)
    yield from probe_report_alias(postfix, settings.campus.report_address)
    yield from probe_as(notifier, lambda: probe_smtp(settings, notifier.read))
    yield from probe_metrics("stopit-milter", settings.milter.metrics, now)
    yield from probe_metrics("stopit-notifier", settings.notifier.metrics, now)
    yield from probe_disk(settings)
    yield from probe_clock(now)
    if endpoint is not None:
        if obstacle := _obstacle(settings, postfix, endpoint, milter):
            yield obstacle
        else:
            yield from probe_by_self_test(site, settings, endpoint, test_within)
    if os.geteuid() != 0:
        yield ProbeResult.untried("files and sockets of the daemons' users and of user postfix", "run doctor as root")


def _obstacle(
    settings: config.Settings, postfix: Postfix, endpoint: SubmissionEndpoint, milter: list[ProbeResult]
) -> ProbeResult | None:
    """Return the fault that prevents a self-test: without the milter, the message would reach the staff mailbox."""
    if asks_milter(postfix, endpoint.local_port, settings.milter.socket) is False:
        why = f"not asked at {endpoint.name}"
    elif any(result.status is Status.FAULT for result in milter):
        why = "down"
    else:
        return None
    return ProbeResult.fault(f"test: not sent, because the milter is {why}", "correct the faults above first")
