"""Speaks to the MTA as the notifier will: up to RCPT TO, never DATA. Nothing is sent."""

from __future__ import annotations

import smtplib
import ssl
from collections.abc import Iterator
from contextlib import suppress

from stopit_core.config import Campus, Smtp, Tls
from stopit_core.credentials import ReadSecret, read_secret
from stopit_core.identity.keys import Keyring, new_ref
from stopit_ctl.probe_results import ProbeResult

__all__ = ["probe_smtp", "smtp_connection", "smtp_error"]

_TIMEOUT = 15.0


def probe_smtp(smtp: Smtp, campus: Campus, keyring: Keyring, read: ReadSecret = read_secret) -> Iterator[ProbeResult]:
    """Whether the MTA lets us in, and takes mail for the addresses that everything depends on."""
    where = f"{smtp.host}:{smtp.port}"
    try:
        with smtp_connection(smtp, read) as connection:
            yield ProbeResult.ok(f"smtp: {where} answers{_how(smtp)}")
            yield from _addresses(connection, campus, keyring)
    except (OSError, smtplib.SMTPException, UnicodeDecodeError) as error:
        yield ProbeResult.fault(
            f"smtp: {where} cannot be used{_how(smtp)}: {smtp_error(error)}",
            "see whether the MTA runs, and the keys of [smtp]: `stopitctl config describe smtp`",
        )


def smtp_connection(smtp: Smtp, read: ReadSecret = read_secret) -> smtplib.SMTP:
    """An open dialog by these settings, logged in where they say so. Raises OSError, SMTPException."""
    timeout = min(_TIMEOUT, smtp.timeout)
    context = ssl.create_default_context()
    connection: smtplib.SMTP
    if smtp.tls is Tls.IMPLICIT:
        connection = smtplib.SMTP_SSL(smtp.host, smtp.port, timeout=timeout, context=context)
    else:
        connection = smtplib.SMTP(smtp.host, smtp.port, timeout=timeout)
    try:
        connection.ehlo_or_helo_if_needed()
        if smtp.tls is Tls.STARTTLS:
            connection.starttls(context=context)
            connection.ehlo_or_helo_if_needed()
        if smtp.login and smtp.password_file is not None:
            connection.login(smtp.login, read(smtp.password_file))
    except BaseException:
        with suppress(OSError, smtplib.SMTPException):
            connection.close()
        raise
    return connection


def _addresses(connection: smtplib.SMTP, campus: Campus, keyring: Keyring) -> Iterator[ProbeResult]:
    local, _, domain = campus.report_address.rpartition("@")
    reply = f"{local}+{keyring.token(new_ref())}@{domain}"
    code, text = connection.mail(reply)
    if code >= 400:
        yield ProbeResult.fault(
            f"smtp: MAIL FROM our own reply address ({local}+TOKEN@{domain}) gets {code} {_line(text)}",
            "everything that Stopit sends has such an envelope sender: let the MTA take it",
        )
        return
    wanted = (
        (campus.report_address, "the report address", "deliver it to the staff mailbox"),
        (reply, f"an answer to {local}+TOKEN@{domain}", "set recipient_delimiter = + (or what your MTA calls it)"),
        (campus.staff_address, "the staff address", "make the mailbox"),
    )
    for address, name, advice in wanted:
        code, text = connection.rcpt(address)
        if code < 400:
            yield ProbeResult.ok(f"smtp: takes mail for {name}")
        else:
            yield ProbeResult.fault(f"smtp: {name} gets {code} {_line(text)}", advice)
    connection.rset()


def _how(smtp: Smtp) -> str:
    tls = {Tls.NONE: "", Tls.STARTTLS: " with STARTTLS", Tls.IMPLICIT: " with TLS"}[smtp.tls]
    return f"{tls} as {smtp.login}" if smtp.login else tls


def smtp_error(error: BaseException) -> str:
    """What went wrong, in the MTA's own words where it gave some."""
    if isinstance(error, smtplib.SMTPResponseException):
        return f"{error.smtp_code} {_line(error.smtp_error)}"
    return getattr(error, "strerror", None) or str(error)


def _line(text: bytes | str) -> str:
    """What the server said, on one line, and short."""
    plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return " ".join(plain.split())[:200]
