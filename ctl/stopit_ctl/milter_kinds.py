"""Tells whether another milter signs mail, by its name or its usual port.

A change after signing breaks the signature, so Stopit must be asked before a milter that signs.
"""

from __future__ import annotations

import re
from enum import Enum, auto

__all__ = ["MilterKind", "kind_of"]

_SIGNS = re.compile(r"opendkim|dkim|rspamd|amavis|openarc|arc-milter", re.I)
_SIGNERS_PORTS = frozenset({"8891", "8892", "8894", "12301", "11332"})  # opendkim, dkimpy, openarc, opendkim, rspamd
_DOES_NOT = re.compile(r"opendmarc|dmarc|spamass|clam|clmilter|greylist|grey|spf|postsrs|regex|sid-?milter", re.I)
_OTHERS_PORTS = frozenset({"8893", "7357"})  # opendmarc, clamav-milter


class MilterKind(Enum):
    """The kinds of milters: one that signs mail, one that does not, an unknown one."""

    SIGNS = auto()
    DOES_NOT = auto()
    UNKNOWN = auto()


def kind_of(entry: str) -> MilterKind:
    """Return the kind of an entry of smtpd_milters: "inet:localhost:8891" or "{ unix:opendkim/sock, ... }"."""
    place = next(iter(re.findall(r"(?:inet6?|unix|local):[^\s,{}]+", entry)), entry)
    port = place.rpartition(":")[2]
    if _DOES_NOT.search(place) or port in _OTHERS_PORTS:
        return MilterKind.DOES_NOT
    if _SIGNS.search(place) or port in _SIGNERS_PORTS:
        return MilterKind.SIGNS
    return MilterKind.UNKNOWN
