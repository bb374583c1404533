"""`doctor --send-test`: send one message through all parts, and time each step of its way.

Nobody receives the message (`outgoing.self_test`). Its traces in the ledger and the record of its report show the
steps that it has passed. After a step that does not complete in time, the later steps are not waited for.
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

_POLL_INTERVAL = 0.05

T = TypeVar("T")


def probe_by_self_test(
    site: Site, settings: Settings, endpoint: SubmissionEndpoint, within: float
) -> Iterator[ProbeResult]:
    """Submit a test message and report each step of its way. `within`: the time limit of each step in seconds."""
    try:
        keyring = site.keyring(settings)
    except ConfigError:
        return  # the probes of the files report the key
    self_test = SelfTest(keyring, settings.campus.report_address, keyring.new_self_test_ref())
    run = _Run(site, settings, self_test, within)
    try:
        run.send(endpoint)
    except (OSError, smtplib.SMTPException) as error:
        yield _refused(endpoint, error)
        return
    yield ProbeResult.ok(f"test: {endpoint.name} and the milter accepted the message in {run.step_time()}")
    try:
        yield from _steps(run, endpoint, settings)
    except (ConfigError, Transient) as error:
        yield ProbeResult.fault(f"test: it cannot be followed further: {error}", "correct the fault of this store")


def _steps(run: _Run, endpoint: SubmissionEndpoint, settings: Settings) -> Iterator[ProbeResult]:
    trace = run.trace_of(run.self_test.message_id)
    if trace is None:
        yield ProbeResult.fault(
            f"test: {endpoint.name} accepted the message, but no trace of it is in the ledger",
            "the MTA does not ask the milter there, or the milter cannot write to the ledger (its log shows it). In "
            "the first case, the test message is in the mailbox of the report address",
        )
        return
    yield ProbeResult.ok(f"test: its trace was in the ledger after {run.step_time()} more")
    if endpoint.login and not trace.login:
        yield ProbeResult.fault(
            f"test: {endpoint.login} logged in at {endpoint.name}, and the milter was not told",
            "add {auth_authen} to milter_mail_macros: without it the milter knows no members, and nothing is a flag",
        )
    elif endpoint.login:
        yield ProbeResult.ok("test: the milter was told the login ({auth_authen})")
    if run.accepted_at() is None:
        yield ProbeResult.fault(
            f"test: the notifier did not process its report within {run.within:.0f} s",
            "`stopitctl health` and journalctl -u stopit-notifier show why",
        )
        return
    yield ProbeResult.ok(f"test: the notifier processed its report after {run.step_time()} more")
    if run.trace_of(run.self_test.answer_id) is None:
        yield ProbeResult.fault(
            "test: the notifier's answer did not pass the milter",
            f"journalctl -u stopit-notifier shows the reply of {settings.smtp.host}:{settings.smtp.port}",
        )
        return
    yield ProbeResult.ok(
        f"test: its answer passed the milter after {run.step_time()} more; {run.total_time()} in all"
    )


class _Run:
    """The run of one self-test, and its stopwatch."""

    def __init__(self, site: Site, settings: Settings, self_test: SelfTest, within: float) -> None:
        self.self_test = self_test
        self.within = within
        self._site = site
        self._settings = settings
        self._start = self._step = time.monotonic()

    def step_time(self) -> str:
        """Return the time of this step, and start the next one."""
        now = time.monotonic()
        took, self._step = now - self._step, now
        return f"{took:.2f} s"

    def total_time(self) -> str:
        """Return the time of all steps."""
        return f"{time.monotonic() - self._start:.2f} s"

    def send(self, endpoint: SubmissionEndpoint) -> None:
        """Submit the message. Raises OSError, SMTPException."""
        message = self.self_test.message("", self._site.clock())
        with closing(endpoint.connect()) as connection:
            self._start = self._step = time.monotonic()  # without the time of TLS and login
            connection.sendmail(message.envelope_from, [message.recipient], message.data)

    def trace_of(self, message_id: str) -> Trace | None:
        """Wait for the trace of this message in the ledger. None when it does not appear in time."""
        digest = self.self_test.keyring.message(message_id)
        milter = self._site.milter_user
        with milter.acting(), opened_ledger(self._settings.ledger, milter.read) as ledger:
            return _poll(lambda: next(iter(ledger.find(digest)), None), self.within)

    def accepted_at(self) -> float | None:
        """Wait until the notifier has processed the report, and return when (seconds since the epoch), else None."""
        with self._site.cases(self._settings) as store:

            def look() -> float | None:
                with store.reading() as reading:
                    return reading.taken_at(self.self_test.report_id)

            return _poll(look, self.within)


def _poll(look: Callable[[], T | None], within: float) -> T | None:
    deadline = time.monotonic() + within
    while (found := look()) is None and time.monotonic() < deadline:
        time.sleep(_POLL_INTERVAL)
    return found


def _refused(endpoint: SubmissionEndpoint, error: Exception) -> ProbeResult:
    reply = smtp_error(error)
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        reply = "; ".join(f"{code} {text.decode('utf-8', 'replace')}" for code, text in error.recipients.values())
    if reply.startswith("4"):
        return ProbeResult.fault(
            f"test: {endpoint.name} defers the message: {reply}",
            "the milter is down, or can store reports neither in the queue nor in the spool: `stopitctl health`",
        )
    return ProbeResult.fault(f"test: {endpoint.name} refuses the message: {reply}", "the log of the MTA shows why")
