"""The recognisers of a site, behind the checks that hold for all of them.

At end of headers, `Recognisers.precheck` returns the recognisers that must read the body; when there is none, the
message can be accepted without it. At end of message, `recognise` asks those. Automatic, list and null-sender mail is
never a flag (RFC 3834).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points

from stopit_core.envelope import Envelope
from stopit_core.errors import ConfigError, Fault
from stopit_core.flags.flag import Flag, NotFlagged, Recogniser
from stopit_core.flags.rules import FlagRules
from stopit_core.mail import Headers, Mail, is_automatic, is_list

__all__ = ["GROUP", "Recognisers", "load_recognisers", "recognise", "recognisers_from"]

GROUP = "stopit.flags"


class Recognisers:
    """A site's recognisers, in the order in which they are asked."""

    def __init__(self, recognisers: Sequence[Recogniser]) -> None:
        self._recognisers = tuple(recognisers)

    def precheck(self, envelope: Envelope, headers: Headers) -> tuple[Recogniser, ...] | NotFlagged:
        """At end of headers: return the recognisers that must read the body, or why this can be no flag."""
        if is_automatic(headers, envelope.null_sender):
            return NotFlagged.AUTOMATIC
        if is_list(headers):
            return NotFlagged.LIST
        found = []
        for recogniser in self._recognisers:
            if recogniser.wants(envelope, headers):
                found.append(recogniser)
        if found:
            return tuple(found)
        return NotFlagged.NO_REPLY if envelope.trusted else NotFlagged.NOT_A_MEMBER


def recognise(recognisers: Iterable[Recogniser], envelope: Envelope, mail: Mail) -> Flag | NotFlagged:
    """At end of message: return the first flag that the recognisers of `precheck` find, or why there is none."""
    for recogniser in recognisers:
        if flag := recogniser.recognise(envelope, mail):
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
    return Recognisers(made)


def _make(point: EntryPoint, rules: FlagRules) -> Recogniser:
    recogniser: Recogniser = point.load()(rules)
    for method in ("wants", "recognise"):
        if not callable(getattr(recogniser, method, None)):
            raise TypeError(f"it has no method {method}")
    return recogniser
