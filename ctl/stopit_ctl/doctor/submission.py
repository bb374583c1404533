"""The door of the MTA by which a test comes in: the notifier's own, or one where members log in."""

from __future__ import annotations

import os
import smtplib
import ssl
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import click

from stopit_core.config import Smtp
from stopit_core.credentials import ReadSecret, read_secret
from stopit_ctl.doctor.smtp import smtp_connection

__all__ = ["SubmissionEndpoint", "submission_endpoint"]

_TIMEOUT = 60.0
_SUBMISSIONS = 465
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_PASSWORD = "STOPIT_TEST_PASSWORD"  # noqa: S105  the name of a variable


@dataclass(frozen=True, slots=True)
class SubmissionEndpoint:
    """Where the test comes in. `login`: who logs in there, "" for nobody. `connect` raises OSError, SMTPException."""

    host: str
    port: int
    login: str
    connect: Callable[[], smtplib.SMTP]

    @property
    def name(self) -> str:
        """As it is shown."""
        return f"{self.host}:{self.port}"

    @property
    def is_here(self) -> bool:
        """Whether it is a door of this host's own MTA."""
        return self.host in _LOOPBACK


def submission_endpoint(
    smtp: Smtp, door: str | None, login: str, read: ReadSecret = read_secret
) -> SubmissionEndpoint:
    """The notifier's way in, or HOST:PORT. Asks for the password where there is a login. Raises click.UsageError."""
    if door is None:
        if login:
            raise click.UsageError("--test-login needs --test-door: members log in at another door than the notifier")
        return SubmissionEndpoint(smtp.host, smtp.port, "", lambda: smtp_connection(smtp, read))
    host, _, port = door.rpartition(":")
    if not host or not port.isdecimal():
        raise click.UsageError(f'--test-door is HOST:PORT, such as mail.example.edu:587, not "{door}"')
    host = host.strip("[]")
    password = _password(login) if login else ""
    return SubmissionEndpoint(host, int(port), login, lambda: _members(host, int(port), login, password))


def _password(login: str) -> str:
    said: str = os.environ.get(_PASSWORD) or click.prompt(f"Password of {login}", hide_input=True, err=True)
    return said


def _members(host: str, port: int, login: str, password: str) -> smtplib.SMTP:
    """As a member's client connects. The certificate is checked, but not that of this host by its number."""
    context = ssl.create_default_context()
    if host in _LOOPBACK:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    secret = port == _SUBMISSIONS or host in _LOOPBACK
    door: smtplib.SMTP
    if port == _SUBMISSIONS:
        door = smtplib.SMTP_SSL(host, port, timeout=_TIMEOUT, context=context)
    else:
        door = smtplib.SMTP(host, port, timeout=_TIMEOUT)
    try:
        door.ehlo_or_helo_if_needed()
        if door.has_extn("starttls"):
            door.starttls(context=context)
            door.ehlo_or_helo_if_needed()
            secret = True
        if login:
            if not secret:
                raise smtplib.SMTPException("it offers no STARTTLS, and the password is not sent in clear")
            door.login(login, password)
    except BaseException:
        with suppress(OSError, smtplib.SMTPException):
            door.close()
        raise
    return door
