"""Recognise automatic and list mail, which is never a flag and never answered (RFC 3834)."""

from __future__ import annotations

from stopit_core.mail.headers import Headers

__all__ = ["is_automatic", "is_list"]

_BULK = frozenset({"bulk", "junk", "list", "auto_reply"})
_AUTOMATIC_FIELDS = frozenset({"auto-submitted", "precedence"})
_LIST_FIELDS = frozenset(
    {
        "list-id",
        "list-post",
        "list-help",
        "list-subscribe",
        "list-unsubscribe",
        "list-owner",
        "mailing-list",
        "x-mailing-list",
    }
)


def is_automatic(headers: Headers, null_sender: bool) -> bool:
    """Return whether a program wrote this (RFC 3834 sections 2 and 5): it must not be answered.

    X-Auto-Response-Suppress is no evidence: people's own clients set it on what they write.
    """
    if null_sender:
        return True
    if not headers.any_of(_AUTOMATIC_FIELDS):
        return False
    for submitted in headers.all("Auto-Submitted"):
        if _first_word(submitted) not in ("", "no"):
            return True
    return any(_first_word(value) in _BULK for value in headers.all("Precedence"))


def is_list(headers: Headers) -> bool:
    """Return whether a mailing list distributed this (RFC 2369, RFC 2919)."""
    return headers.any_of(_LIST_FIELDS)


def _first_word(value: str) -> str:
    """Return the keyword of a value, without parameters and comments, in lower case."""
    words = value[:200].replace(";", " ").replace("(", " ").split()
    return words[0].casefold() if words else ""
