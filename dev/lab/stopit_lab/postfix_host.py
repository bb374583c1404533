"""A mail server with Debian's Postfix: STARTTLS and SASL by Dovecot on submission, mailboxes in home directories.

`set_up_mta` makes the set-up of a campus before Stopit.
"""

from __future__ import annotations

from typing import ClassVar

from stopit_lab.mailbox import Mailbox
from stopit_lab.mailhost import PACKAGES, MailHost
from stopit_lab.people import CAMPUS, login_of

__all__ = ["PostfixHost"]

_SET_UP = f"""
postconf -e myhostname=mx.{CAMPUS} mydestination={CAMPUS},localhost home_mailbox=Maildir/ inet_protocols=ipv4 \
    smtpd_sasl_type=dovecot smtpd_sasl_path=private/auth smtpd_error_sleep_time=0s
postconf -M submission/inet='submission inet n - y - - smtpd'
postconf -P submission/inet/syslog_name=postfix/submission \
    submission/inet/smtpd_tls_security_level=encrypt \
    submission/inet/smtpd_sasl_auth_enable=yes \
    submission/inet/smtpd_tls_auth_only=yes \
    submission/inet/smtpd_relay_restrictions=permit_sasl_authenticated,reject
systemctl restart dovecot postfix
"""

# System accounts by PAM, the default of Debian's Dovecot; only the socket for Postfix is added.
_DOVECOT = """\
auth_mechanisms = plain login
service auth {
  unix_listener /var/spool/postfix/private/auth {
    mode = 0660
    user = postfix
    group = postfix
  }
}
"""


class PostfixHost(MailHost):
    """A mail host with Postfix and Dovecot."""

    packages: ClassVar = (*PACKAGES, "postfix", "dovecot-core")

    def set_up_mta(self) -> None:
        self.host.write("/etc/dovecot/conf.d/99-postfix.conf", _DOVECOT)
        self.host.shell(_SET_UP)

    def tell_mta(self) -> None:
        self.ctl("setup", "postfix", "--apply")
        self.host.run("postfix", "reload")

    def untell_mta(self) -> None:
        """Disconnect Postfix from the milter again."""
        self.ctl("setup", "postfix", "--undo")
        self.host.run("postfix", "reload")

    def mailbox(self, address: str) -> Mailbox:
        return Mailbox(address, self.host.path(f"/home/{login_of(address)}/Maildir"))
