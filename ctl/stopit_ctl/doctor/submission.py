"""The submission endpoint of a self-test: the one that the notifier uses, or one where members log in."""

from __future__ import annotations

import os
import smtplib
import ssl
from collections.abc import Callable
from dataclasses import dataclass

import click

from stopit_core.config import Smtp
from stopit_core.credentials import ReadSecret, read_secret
from stopit_ctl.doctor.smtp import closed_on_error, smtp_connection

__all__ = ["SubmissionEndpoint", "submission_endpoint"]

_TIMEOUT = 60.0
_SUBMISSIONS = 465
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_PASSWORD = "STOPIT_TEST_PASSWORD"  # noqa: S105  the name of a variable


@dataclass(frozen=True, slots=True)
class SubmissionEndpoint:
    """An endpoint of an MTA. `login` is "" where nobody logs in. `connect` raises OSError, SMTPException."""

    host: str
    port: int
    login: str
    connect: Callable[[], smtplib.SMTP]

    @property
    def name(self) -> str:
        """Return "host:port"."""
        return f"{self.host}:{self.port}"

    @property
    def local_port(self) -> int | None:
        """Return its port where the MTA is this host's own, else None."""
        return self.port if self.host in _LOOPBACK else None


def submission_endpoint(
    smtp: Smtp, address: str | None = None, login: str = "", read: ReadSecret = read_secret
) -> SubmissionEndpoint:
    """Return the endpoint at "host:port", or the notifier's for None. Prompts for the password of a login.

    Raises click.UsageError.
    """
    if address is None:
        if login:
            raise click.UsageError("--test-login needs --test-door: members do not log in where the notifier sends")
        return SubmissionEndpoint(smtp.host, smtp.port, "", lambda: smtp_connection(smtp, read))
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise click.UsageError(f'--test-door is HOST:PORT, such as mail.example.edu:587, not "{address}"')
    host = host.strip("[]")
    password = _password(login) if login else ""
    return SubmissionEndpoint(host, int(port), login, lambda: _as_member(host, int(port), login, password))


def _password(login: str) -> str:
    password: str = os.environ.get(_PASSWORD) or click.prompt(f"Password of {login}", hide_input=True, err=True)
    return password


def _as_member(host: str, port: int, login: str, password: str) -> smtplib.SMTP:
    """Connect as a member's mail client does. Certificates are verified, except on a loopback address."""
    context = ssl.create_default_context()
    if host in _LOOPBACK:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    protected = port == _SUBMISSIONS or host in _LOOPBACK
    connection: smtplib.SMTP
    if port == _SUBMISSIONS:
        connection = smtplib.SMTP_SSL(host, port, timeout=_TIMEOUT, context=context)
    else:
        connection = smtplib.SMTP(host, port, timeout=_TIMEOUT)
    with closed_on_error(connection):
        connection.ehlo_or_helo_if_needed()
        if connection.has_extn("starttls"):
            connection.starttls(context=context)
            connection.ehlo_or_helo_if_needed()
            protected = True
        if login:
            if not protected:
                raise smtplib.SMTPException("the MTA offers no STARTTLS, and the password is not sent in clear text")
            connection.login(login, password)
    return connection
