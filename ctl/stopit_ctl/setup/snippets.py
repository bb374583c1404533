"""The lines that Stopit adds to main.cf and master.cf, with their comments.

config/postfix has the same lines, to add by hand; a test compares the two. All additions are marked, so that they can
be removed without a record of the old files: blocks are enclosed in two marks, a line in an existing service follows
a mark, and an addition to an existing value begins with `$stopit_`.
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

MEMBERS = f"{MARK}members' mail is deferred while the milter is down"
RE_INJECTION = f"{MARK}mail from a content filter has passed the milter before"

_MILTER = """\
{name} = {{ {milter},
    connect_timeout=5s, command_timeout=10s, content_timeout=60s,
    default_action={action} }}"""

_COMMENTS = {
    FROM_OUTSIDE: """\
# From outside: mail is accepted while the milter is down. Flags do not arrive
# here, because a flag needs a login; only traces are lost.""",
    FROM_MEMBERS: """\
# From members and from Stopit itself: mail is deferred (451) while the milter
# is down. A reply that flags would otherwise reach the sender.""",
    "smtpd_milters": """\
# For every smtpd service without its own setting in master.cf. A DKIM signer
# comes after Stopit: an edit after signing breaks the signature.""",
    "non_smtpd_milters": """\
# For bounces that Postfix generates, and mail of programs on this host.""",
    "recipient_delimiter": """\
# Mail from Stopit has the reply address stopit+TOKEN@, delivered like stopit@.""",
    FILTER_CLASSES: "# Bounces too: the bounce of a notice belongs to its case.",
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
# The dedicated service for Stopit's own mail ([smtp] in stopit.toml), on this
# host only. Mail is deferred while the milter is down, because after a crash
# the ledger must show whether the MTA has a message.
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
    """Return the lines of main.cf for this parameter. `milter`: the milter's socket as Postfix spells it."""
    comments = _COMMENTS[name].splitlines() if name in _COMMENTS else []
    if name in _ACTIONS:
        return [*comments, *_MILTER.format(name=name, milter=milter, action=_ACTIONS[name]).splitlines()]
    return [*comments, _VALUES[name]]


def own_service(name: str, chroot: str, others: str) -> list[str]:
    """Return the service of master.cf that the notifier sends through.

    `name` is "host:port", `chroot` the column of the other smtpd services, `others` the milters after Stopit.
    """
    option = milters_option(f"${FROM_MEMBERS}", others)
    return _OWN_SERVICE.format(service=name, chroot=chroot, option=option).splitlines()


def milters_option(*milters: str) -> str:
    """Return the smtpd_milters option of a service of master.cf with these milters; "" is left out."""
    value = ", ".join(filter(None, milters))
    return f"  -o {{ smtpd_milters = {value} }}" if value else "  -o smtpd_milters="
