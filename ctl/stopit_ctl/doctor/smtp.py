"""Probes the MTA as the notifier uses it, up to RCPT TO and never DATA: nothing is sent."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from stopit_core.config import Campus, Settings, Smtp, Tls
from stopit_core.credentials import ReadSecret, read_secret
from stopit_core.errors import ConfigError
from stopit_core.identity.keys import Keyring, new_ref, read_key
from stopit_ctl.probe_results import ProbeResult

__all__ = ["closed_on_error", "probe_smtp", "smtp_connection", "smtp_error"]

_TIMEOUT = 15.0


def probe_smtp(settings: Settings, read: ReadSecret = read_secret) -> Iterator[ProbeResult]:
    """Probe whether the MTA accepts the notifier, and mail for the addresses that Stopit depends on.

    No result without a usable key: the probes of the files report it.
    """
    smtp = settings.smtp
    where = f"{smtp.host}:{smtp.port}"
    try:
        keyring = read_key(settings.ledger.key_file, read)
        with smtp_connection(smtp, read) as connection:
            yield ProbeResult.ok(f"smtp: {where} answers{_how(smtp)}")
            yield from _addresses(connection, settings.campus, keyring)
    except ConfigError:
        return
    except (OSError, smtplib.SMTPException, UnicodeDecodeError) as error:
        yield ProbeResult.fault(
            f"smtp: {where} cannot be used{_how(smtp)}: {smtp_error(error)}",
            "make sure that the MTA runs, and check the keys of [smtp]: `stopitctl config describe smtp`",
        )


def smtp_connection(smtp: Smtp, read: ReadSecret = read_secret) -> smtplib.SMTP:
    """Connect as [smtp] says, with TLS and a login where it asks for them. Raises OSError, SMTPException."""
    timeout = min(_TIMEOUT, smtp.timeout)
    context = ssl.create_default_context()
    connection: smtplib.SMTP
    if smtp.tls is Tls.IMPLICIT:
        connection = smtplib.SMTP_SSL(smtp.host, smtp.port, timeout=timeout, context=context)
    else:
        connection = smtplib.SMTP(smtp.host, smtp.port, timeout=timeout)
    with closed_on_error(connection):
        connection.ehlo_or_helo_if_needed()
        if smtp.tls is Tls.STARTTLS:
            connection.starttls(context=context)
            connection.ehlo_or_helo_if_needed()
        if smtp.login and smtp.password_file is not None:
            connection.login(smtp.login, read(smtp.password_file))
    return connection


@contextmanager
def closed_on_error(connection: smtplib.SMTP) -> Iterator[None]:
    """Close the connection when the block raises."""
    try:
        yield
    except BaseException:
        with suppress(OSError, smtplib.SMTPException):
            connection.close()
        raise


def smtp_error(error: BaseException) -> str:
    """Return the reply of the MTA where there is one, else the error's own text."""
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{error.smtp_code} {_line(error.smtp_error)}"
    return getattr(error, "strerror", None) or str(error)


def _addresses(connection: smtplib.SMTP, campus: Campus, keyring: Keyring) -> Iterator[ProbeResult]:
    local, _, domain = campus.report_address.rpartition("@")
    reply = f"{local}+{keyring.token(new_ref())}@{domain}"
    code, text = connection.mail(reply)
    if code >= 400:
        yield ProbeResult.fault(
            f"smtp: MAIL FROM with the reply address ({local}+TOKEN@{domain}) is refused: {code} {_line(text)}",
            "every message of Stopit has such an envelope sender: make the MTA accept it",
        )
        return
    wanted = (
        (campus.report_address, "the report address", "deliver it to the staff mailbox"),
        (
            reply,
            f"the reply address ({local}+TOKEN@{domain})",
            "set recipient_delimiter = + (or the same setting of your MTA)",
        ),
        (campus.staff_address, "the staff address", "create the mailbox"),
    )
    for address, name, advice in wanted:
        code, text = connection.rcpt(address)
        if code < 400:
            yield ProbeResult.ok(f"smtp: mail for {name} is accepted")
        else:
            yield ProbeResult.fault(f"smtp: mail for {name} is refused: {code} {_line(text)}", advice)
    connection.rset()


def _how(smtp: Smtp) -> str:
    tls = {Tls.NONE: "", Tls.STARTTLS: " with STARTTLS", Tls.IMPLICIT: " with TLS"}[smtp.tls]
    return f"{tls} as {smtp.login}" if smtp.login else tls


def _line(text: bytes | str) -> str:
    """Return a server's reply on one line of at most 200 characters."""
    plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return " ".join(plain.split())[:200]
