"""`doctor --send-test`: one message through all of the parts, and how long each leg of the way took.

It goes to nobody (see `outgoing.self_test`). Its traces in the ledger, and its report among those that were taken,
tell how far it came. Where a leg does not end in time the next ones are not waited for.
"""

from __future__ import annotations

import smtplib
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import TypeVar

from stopit_core.config import Settings
from stopit_core.errors import ConfigError, Transient
from stopit_core.model import Trace
from stopit_core.outgoing.self_test import SelfTest
from stopit_ctl.doctor.smtp import smtp_error
from stopit_ctl.doctor.submission import SubmissionEndpoint
from stopit_ctl.local_site import Site, opened_ledger
from stopit_ctl.probe_results import ProbeResult

__all__ = ["probe_by_self_test"]

_LOOK_AGAIN = 0.05

T = TypeVar("T")


def probe_by_self_test(
    site: Site, settings: Settings, endpoint: SubmissionEndpoint, within: float
) -> Iterator[ProbeResult]:
    """Send a test, and say of each leg of its way how it went; each may take `within` seconds."""
    try:
        keyring = site.keyring(settings)
    except ConfigError:
        return  # the key was found faulty among the files
    legs = _Legs(
        site, settings, SelfTest(keyring, settings.campus.report_address, keyring.new_self_test_ref()), within
    )
    try:
        legs.send(endpoint)
    except (OSError, smtplib.SMTPException) as error:
        yield _not_taken(endpoint, error)
        return
    yield ProbeResult.ok(f"test: {endpoint.name} took the message, milter and all, in {legs.lap()}")
    try:
        yield from _the_way(legs, endpoint, settings)
    except (ConfigError, Transient) as error:
        yield ProbeResult.fault(f"test: its way cannot be followed: {error}", "mend the store that is named")


def _the_way(legs: _Legs, endpoint: SubmissionEndpoint, settings: Settings) -> Iterator[ProbeResult]:
    trace = legs.trace_of(legs.self_test.message_id)
    if trace is None:
        yield ProbeResult.fault(
            f"test: {endpoint.name} took the message, but no trace of it is in the ledger",
            "the milter is not asked there, or cannot write to the ledger (its log says so); if it is not asked, the "
            "test lies in the mailbox of the report address",
        )
        return
    yield ProbeResult.ok(f"test: its trace was in the ledger after {legs.lap()} more")
    if endpoint.login and not trace.login:
        yield ProbeResult.fault(
            f"test: {endpoint.login} logged in at {endpoint.name}, and the milter was not told",
            "{auth_authen} must be among milter_mail_macros: without it nobody is a member, and nothing is a flag",
        )
    elif endpoint.login:
        yield ProbeResult.ok("test: the milter was told who logged in ({auth_authen})")
    if legs.taken() is None:
        yield ProbeResult.fault(
            f"test: the notifier did not take its report within {legs.within:.0f} s",
            "`stopitctl health` and journalctl -u stopit-notifier say why",
        )
        return
    yield ProbeResult.ok(f"test: the notifier took its report after {legs.lap()} more")
    if legs.trace_of(legs.self_test.answer_id) is None:
        yield ProbeResult.fault(
            "test: the notifier's answer did not pass the milter",
            f"journalctl -u stopit-notifier tells what {settings.smtp.host}:{settings.smtp.port} said to it",
        )
        return
    yield ProbeResult.ok(f"test: its answer passed the milter after {legs.lap()} more; {legs.total()} in all")


class _Legs:
    """One self-test on its way, and a watch."""

    def __init__(self, site: Site, settings: Settings, self_test: SelfTest, within: float) -> None:
        self.self_test = self_test
        self.within = within
        self._site = site
        self._settings = settings
        self._began = self._leg = time.monotonic()

    def lap(self) -> str:
        """How long this leg took; the next one begins."""
        now = time.monotonic()
        took, self._leg = now - self._leg, now
        return f"{took:.2f} s"

    def total(self) -> str:
        """How long all legs took."""
        return f"{time.monotonic() - self._began:.2f} s"

    def send(self, endpoint: SubmissionEndpoint) -> None:
        """Hand the message in. Raises OSError, SMTPException."""
        letter = self.self_test.message("", self._site.clock())
        with closing(endpoint.connect()) as door:
            self._began = self._leg = time.monotonic()  # the login is no part of it
            door.sendmail(letter.envelope_from, [letter.recipient], letter.data)

    def trace_of(self, message_id: str) -> Trace | None:
        """The trace of this message as soon as it is in the ledger; None when it does not come."""
        digest = self.self_test.keyring.message(message_id)
        milter = self._site.milter_user
        with milter.acting(), opened_ledger(self._settings.ledger, milter.read) as ledger:
            return _until(lambda: next(iter(ledger.find(digest)), None), self.within)

    def taken(self) -> float | None:
        """When the notifier took the report (seconds since the epoch); None when it does not."""
        with self._site.cases(self._settings) as store:

            def look() -> float | None:
                with store.reading() as reading:
                    return reading.taken_at(self.self_test.report_id)

            return _until(look, self.within)


def _until(look: Callable[[], T | None], within: float) -> T | None:
    deadline = time.monotonic() + within
    while (found := look()) is None and time.monotonic() < deadline:
        time.sleep(_LOOK_AGAIN)
    return found


def _not_taken(endpoint: SubmissionEndpoint, error: Exception) -> ProbeResult:
    said = smtp_error(error)
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        said = "; ".join(f"{code} {text.decode('utf-8', 'replace')}" for code, text in error.recipients.values())
    if said.startswith("4"):
        return ProbeResult.fault(
            f"test: {endpoint.name} puts the message off: {said}",
            "the milter is away, or can keep a report neither in queue nor spool: `stopitctl health`",
        )
    return ProbeResult.fault(f"test: {endpoint.name} does not take the message: {said}", "the MTA's log says more")
