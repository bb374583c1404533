"""What Stopit adds to Postfix's two files, in words and lines. config/postfix has the same for those who take it over
by hand; a test keeps the two in step.

Everything that is added can be known again, so that it can be taken out without a note of what was there: blocks
stand between two marks, a line inside somebody's service stands below a mark, and what is put into somebody's value
begins with `$stopit_`.
"""

from __future__ import annotations

__all__ = [
    "BEGIN",
    "END",
    "FILTER_CLASSES",
    "FROM_MEMBERS",
    "FROM_OUTSIDE",
    "MARK",
    "MEMBERS",
    "RE_INJECTION",
    "definition",
    "milters_option",
    "own_service",
]

BEGIN = "# Stopit: begin (`stopitctl setup postfix --undo` takes it out)"
END = "# Stopit: end"
MARK = "# Stopit: "

FROM_OUTSIDE = "stopit_from_outside"
FROM_MEMBERS = "stopit_from_members"
FILTER_CLASSES = "stopit_filter_classes"

MEMBERS = f"{MARK}members' mail is put off while the milter is away"
RE_INJECTION = f"{MARK}what comes back from a content filter was seen before"

_MILTER = """\
{name} = {{ {milter},
    connect_timeout=5s, command_timeout=10s, content_timeout=60s,
    default_action={action} }}"""

_WORDS = {
    FROM_OUTSIDE: """\
# From outside: while the milter is away, mail passes. No flag comes in here,
# because a flag needs a login; only the traces are lost.""",
    FROM_MEMBERS: """\
# From members and from Stopit itself: while the milter is away, the client is
# told to try again (451). Else a reply that flags would reach the sender.""",
    "smtpd_milters": """\
# For every smtpd of which master.cf says nothing else. A DKIM signer comes
# behind Stopit: an edit after signing breaks the signature.""",
    "non_smtpd_milters": """\
# Bounces that Postfix writes itself, and mail of programs on this host.""",
    "recipient_delimiter": """\
# What Stopit sends has a reply address stopit+TOKEN@; it is stopit@'s.""",
    FILTER_CLASSES: "# Bounces too: one of a notice comes to its case.",
}
_VALUES = {
    "smtpd_milters": f"smtpd_milters = ${FROM_OUTSIDE}",
    "non_smtpd_milters": f"non_smtpd_milters = ${FROM_OUTSIDE}",
    "internal_mail_filter_classes": "internal_mail_filter_classes = bounce",
    "recipient_delimiter": "recipient_delimiter = +",
    FILTER_CLASSES: f"{FILTER_CLASSES} = bounce",
}
_ACTIONS = {FROM_OUTSIDE: "accept", FROM_MEMBERS: "tempfail"}

_OWN_SERVICE = """\
# Stopit's own way out ([smtp] in stopit.toml), on this host only. Put off
# while the milter is away, because none of it may pass the milter unseen:
# after a crash the ledger tells whether the MTA had a message.
{service} inet n  -       {chroot}       -       -       smtpd
  -o syslog_name=postfix/stopit
  -o smtpd_client_restrictions=permit_mynetworks,reject
  -o smtpd_helo_restrictions=
  -o smtpd_sender_restrictions=
  -o smtpd_relay_restrictions=permit_mynetworks,reject
  -o smtpd_recipient_restrictions=
  -o smtpd_tls_security_level=none
  -o mynetworks=127.0.0.0/8
{option}"""


def definition(name: str, milter: str) -> list[str]:
    """The lines of main.cf that define this parameter; `milter` is Postfix's spelling of the milter's socket."""
    words = _WORDS[name].splitlines() if name in _WORDS else []
    if name in _ACTIONS:
        return [*words, *_MILTER.format(name=name, milter=milter, action=_ACTIONS[name]).splitlines()]
    return [*words, _VALUES[name]]


def own_service(service: str, chroot: str, others: str) -> list[str]:
    """The service of master.cf that the notifier sends through. `service` is "host:port", `chroot` the column of the
    other smtpd services, `others` the milters that stand behind Stopit."""
    option = milters_option(f"${FROM_MEMBERS}", others)
    return _OWN_SERVICE.format(service=service, chroot=chroot, option=option).splitlines()


def milters_option(*milters: str) -> str:
    """The line below a service of master.cf that gives it these milters; "" stands for none."""
    value = ", ".join(filter(None, milters))
    return f"  -o {{ smtpd_milters = {value} }}" if value else "  -o smtpd_milters="
