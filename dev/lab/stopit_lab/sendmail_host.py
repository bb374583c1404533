"""A mail server with Debian's Sendmail: submission with STARTTLS and SASL by saslauthd, mailboxes in /var/mail.

`set_up_mta` makes the set-up of a campus before Stopit.
"""

from __future__ import annotations

import mailbox
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from stopit_lab.mailbox import Mailbox, Received
from stopit_lab.mailhost import PACKAGES, QUICK, Changes, MailHost
from stopit_lab.people import CAMPUS, login_of

__all__ = ["SendmailHost"]

_SOCKET = "/run/stopit/milter.sock"

_MC = f"""\
include(`/usr/share/sendmail/cf/m4/cf.m4')dnl
OSTYPE(`debian')dnl
DOMAIN(`debian-mta')dnl
define(`confDOMAIN_NAME', `mx.{CAMPUS}')dnl
define(`confPRIVACY_FLAGS', `needmailhelo,novrfy,noexpn')dnl
define(`confAUTH_MECHANISMS', `PLAIN LOGIN')dnl
TRUST_AUTH_MECH(`PLAIN LOGIN')dnl
define(`confAUTH_OPTIONS', `A p')dnl
define(`confSERVER_CERT', `/etc/mail/campus.pem')dnl
define(`confSERVER_KEY', `/etc/mail/campus.key')dnl
define(`confCACERT', `/etc/mail/campus.pem')dnl
define(`confCACERT_PATH', `/etc/ssl/certs')dnl
FEATURE(`local_procmail')dnl
FEATURE(`use_cw_file')dnl
FEATURE(`accept_unresolvable_domains')dnl
FEATURE(`nocanonify')dnl
define(`confSERVICE_SWITCH_FILE', `/etc/mail/service.switch')dnl
FEATURE(`access_db')dnl
"""
_END = """\
MAILER_DEFINITIONS
MAILER(`local')dnl
MAILER(`smtp')dnl
"""
_LISTENERS = """\
FEATURE(`no_default_msa')dnl
DAEMON_OPTIONS(`Port=smtp, Name=MTA')dnl
DAEMON_OPTIONS(`Port=submission, Name=MSA, M=Ea')dnl
"""

_SET_UP = f"""
install -m 644 /etc/ssl/certs/ssl-cert-snakeoil.pem /etc/mail/campus.pem
install -m 600 /etc/ssl/private/ssl-cert-snakeoil.key /etc/mail/campus.key
echo {CAMPUS} >>/etc/mail/local-host-names
mkdir -p /etc/sasl2 /usr/lib/sasl2
echo 'pwcheck_method: saslauthd' | tee /etc/sasl2/Sendmail.conf >/usr/lib/sasl2/Sendmail.conf
echo 'mech_list: PLAIN LOGIN' | tee -a /etc/sasl2/Sendmail.conf >>/usr/lib/sasl2/Sendmail.conf
echo START=yes >>/etc/default/saslauthd
systemctl restart saslauthd
make -C /etc/mail
systemctl restart sendmail
"""


class Mbox(Mailbox):
    """A file of messages, as Sendmail's local delivery writes it. `directory` is that file."""

    def messages(self) -> list[Received]:
        if not self.directory.exists():
            return []
        return [Received(message.as_bytes()) for message in mailbox.mbox(self.directory, create=False)]


class SendmailHost(MailHost):
    """A mail host with Sendmail and Cyrus SASL."""

    packages: ClassVar[Sequence[str]] = (
        *PACKAGES,
        "sendmail-bin",
        "sendmail-cf",
        "procmail",
        "sasl2-bin",
        "libsasl2-modules",
        "make",
        "m4",
    )

    def set_up_mta(self) -> None:
        # No DNS lookups: there is no DNS, and by default a delivery would wait for it.
        self.host.write("/etc/mail/service.switch", "hosts files\naliases files\n")
        self.host.write("/etc/mail/sendmail.mc", _MC + _LISTENERS + _END)
        self.host.shell(_SET_UP)

    def configure(self, changes: Changes = QUICK) -> None:
        """Put the socket where config/sendmail/stopit.mc expects it."""
        super().configure({**changes, ("milter", "socket"): f'"unix:{_SOCKET}"'})
        self.host.write("/etc/tmpfiles.d/stopit-sendmail.conf", f"d {Path(_SOCKET).parent} 0755 stopit stopit - -\n")
        self.host.write(
            "/etc/systemd/system/stopit-milter.service.d/sendmail.conf",
            f"[Service]\nReadWritePaths={Path(_SOCKET).parent}\n",
        )
        self.host.shell("systemd-tmpfiles --create stopit-sendmail.conf; systemctl daemon-reload")

    def tell_mta(self) -> None:
        # Its lines define listeners, which replace those of before.
        lines = self.ctl("setup", "sendmail").out
        self.host.write("/etc/mail/sendmail.mc", _MC + lines + _END)
        self.host.shell("make -C /etc/mail; systemctl restart sendmail")

    def mailbox(self, address: str) -> Mailbox:
        return Mbox(address, self.host.path(f"/var/mail/{login_of(address)}"))
