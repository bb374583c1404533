"""Call the recognisers, after the checks that apply to all of them.

At end of headers `precheck` tells whether the message can be accepted now, without its body. At end of message
`recognise` returns the flag, or why there is none. Automatic, list and null-sender mail is never a flag (RFC 3834).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points

from stopit_core.envelope import Envelope
from stopit_core.errors import ConfigError, Fault
from stopit_core.flags.flag import Flag, NotFlagged, Recogniser
from stopit_core.flags.rules import FlagRules
from stopit_core.mail import REPLY_BYTES, REPORT_BYTES, Headers, Mail, is_automatic, is_list

__all__ = ["GROUP", "Recognisers", "load_recognisers", "recognisers_from"]

GROUP = "stopit.flags"


class Recognisers:
    """A site's recognisers, in the order in which they are called; the first flag counts."""

    def __init__(self, rules: FlagRules, recognisers: Sequence[Recogniser]) -> None:
        self._rules = rules
        self._recognisers = tuple(recognisers)

    def precheck(self, envelope: Envelope, headers: Headers) -> NotFlagged | None:
        """Return at end of headers why this can be no flag; None if the body must be read to know."""
        if is_automatic(headers, envelope.null_sender):
            return NotFlagged.AUTOMATIC
        if is_list(headers):
            return NotFlagged.LIST
        for recogniser in self._recognisers:
            if recogniser.wants(envelope, headers):
                return None
        return NotFlagged.NO_REPLY if envelope.trusted else NotFlagged.NOT_A_MEMBER

    def body_bytes(self, envelope: Envelope) -> int:
        """Return how much of the body to collect for `mail.read`."""
        return REPORT_BYTES if self._rules.reports(envelope) else REPLY_BYTES

    def recognise(self, envelope: Envelope, mail: Mail) -> Flag | NotFlagged:
        """Return at end of message the flag, or why this is none."""
        if (reason := self.precheck(envelope, mail.headers)) is not None:
            return reason
        for recogniser in self._recognisers:
            if recogniser.wants(envelope, mail.headers) and (flag := recogniser.recognise(envelope, mail)):
                return flag
        return NotFlagged.NO_KEYWORD


def load_recognisers(rules: FlagRules) -> Recognisers:
    """Return all installed recognisers, ordered by name: header, reply, report-address, and the site's own.

    Raises ConfigError that names each one that cannot be loaded.
    """
    return recognisers_from(entry_points(group=GROUP), rules)


def recognisers_from(points: Iterable[EntryPoint], rules: FlagRules) -> Recognisers:
    """Return the recognisers of these entry points. Raises ConfigError like `load_recognisers`."""
    made: list[Recogniser] = []
    faults: list[Fault] = []
    for point in sorted(points, key=lambda point: point.name):
        try:
            made.append(_make(point, rules))
        except Exception as error:  # noqa: BLE001  a site's own package may fail in any way
            advice = f"this recogniser cannot be loaded ({error}); repair or remove the package that registers it"
            faults.append(Fault(f"entry point {GROUP}", point.name, point.value, advice))
    if not made and not faults:
        advice = "no recogniser is installed, so nothing would ever be a flag; install stopit-mail again"
        faults.append(Fault(f"entry point {GROUP}", "", "", advice))
    if faults:
        raise ConfigError(faults)
    return Recognisers(rules, made)


def _make(point: EntryPoint, rules: FlagRules) -> Recogniser:
    recogniser: Recogniser = point.load()(rules)
    for method in ("wants", "recognise"):
        if not callable(getattr(recogniser, method, None)):
            raise TypeError(f"it has no method {method}")
    return recogniser
