"""The three recognisers that ship: a reply with the keyword, the flag header, mail to the report address.

The first two accept only messages of members (`Envelope.trusted`) in the member's own words. Mail that goes to the
report address only is left to the third one, because a forward can be a reply too (clients set References on it), and
then it reports the message that it carries.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from stopit_core.envelope import Envelope
from stopit_core.flags.flag import Flag, NamedOriginal
from stopit_core.flags.rules import FlagRules
from stopit_core.mail import Headers, Mail, first_typed_line, message_ids
from stopit_core.model import Channel, Command

__all__ = ["FlagHeader", "ReplyKeyword", "ReportAddress"]

_INLINE_ID = re.compile(r"^[>|\s*]{0,20}Message-ID\*?[ \t]{0,4}:\*?[\s>|]{0,12}<([^<>\s]{1,998})>", re.I | re.M)
_INLINE_IDS = 20


class ReplyKeyword:
    """A member's reply whose first typed line is the keyword."""

    def __init__(self, rules: FlagRules) -> None:
        self._rules = rules

    def wants(self, envelope: Envelope, headers: Headers) -> bool:
        return _is_reply(headers) and _speaks_for_a_member(self._rules, envelope, headers)

    def recognise(self, envelope: Envelope, mail: Mail) -> Flag | None:  # noqa: ARG002  the Protocol's shape
        command = self._rules.command_typed(first_typed_line(mail.text))
        return Flag(Channel.REPLY, command, _replied_to(mail.headers)) if command else None


class FlagHeader:
    """A member's message with the flag header, which a mail client's button sets."""

    def __init__(self, rules: FlagRules) -> None:
        self._rules = rules

    def wants(self, envelope: Envelope, headers: Headers) -> bool:
        return _header_command(self._rules, headers) is not None and _speaks_for_a_member(
            self._rules, envelope, headers
        )

    def recognise(self, envelope: Envelope, mail: Mail) -> Flag | None:  # noqa: ARG002  the Protocol's shape
        command = _header_command(self._rules, mail.headers)
        return Flag(Channel.HEADER, command, _replied_to(mail.headers)) if command else None


class ReportAddress:
    """Mail to the report address, from anyone: originals attached, resent, forwarded inline, or replied to."""

    def __init__(self, rules: FlagRules) -> None:
        self._rules = rules

    def wants(self, envelope: Envelope, headers: Headers) -> bool:  # noqa: ARG002  the Protocol's shape
        return self._rules.reports(envelope)

    def recognise(self, envelope: Envelope, mail: Mail) -> Flag | None:  # noqa: ARG002  the Protocol's shape
        typed = self._rules.command_typed(first_typed_line(mail.text))
        command = _header_command(self._rules, mail.headers) or typed or Command.FLAG
        return Flag(Channel.REPORT_ADDRESS, command, _reported(mail))


def _speaks_for_a_member(rules: FlagRules, envelope: Envelope, headers: Headers) -> bool:
    """Return whether text and headers are a member's own, and meant for more than the report address.

    A resent message has the words of its author, and the login of a member (RFC 5322 section 3.6.6).
    """
    return envelope.trusted and "Resent-From" not in headers and not rules.only_reports(envelope)


def _header_command(rules: FlagRules, headers: Headers) -> Command | None:
    value = headers.first(rules.header)
    return None if value is None else rules.command_in_header(value)


def _is_reply(headers: Headers) -> bool:
    return "In-Reply-To" in headers or "References" in headers


def _replied_to(headers: Headers) -> tuple[NamedOriginal, ...]:
    """Return the message that a reply answers: In-Reply-To, else the last of References (RFC 5322 section 3.6.4)."""
    answered = _ids(headers, "In-Reply-To")
    if answered:
        return _named(answered)
    return tuple(NamedOriginal(last) for last in _ids(headers, "References")[-1:])


def _reported(mail: Mail) -> tuple[NamedOriginal, ...]:
    """Return the originals that mail to the report address carries or names.

    A resent message is itself the original, whatever its author attached to it (RFC 5322 section 3.6.6).
    """
    headers = mail.headers
    if "Resent-From" in headers:
        return _named(_ids(headers, "Message-ID"))
    attached = (original for each in mail.attached for original in _named(_ids(each, "Message-ID")))
    inline = (NamedOriginal(found.group(1)) for found in _INLINE_ID.finditer(mail.text))
    forwarded = (NamedOriginal(found) for found in _ids(headers, "X-Forwarded-Message-Id"))
    return _once(attached) or _once(inline)[:_INLINE_IDS] or _once(forwarded) or _replied_to(headers)


def _ids(headers: Headers, name: str) -> tuple[str, ...]:
    return tuple(found for value in headers.all(name) for found in message_ids(value))


def _named(ids: tuple[str, ...]) -> tuple[NamedOriginal, ...]:
    """Return the one message that these ids name; the same id twice counts once."""
    return (NamedOriginal(ids[0], ambiguous=len(set(ids)) > 1),) if ids else ()


def _once(originals: Iterable[NamedOriginal]) -> tuple[NamedOriginal, ...]:
    return tuple(dict.fromkeys(originals))
