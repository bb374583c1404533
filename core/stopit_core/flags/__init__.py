"""Recognise flags. Pure: values in and out, and no policy on what follows from a flag.

rules = FlagRules.of(settings.flag, settings.campus) recognisers = load_recognisers(rules) end of headers:
recognisers.precheck(envelope, headers) -> why not, or None: read the body end of message:
recognisers.recognise(envelope, mail) -> Flag, or why not
"""

from stopit_core.flags.flag import Flag, NamedOriginal, NotFlagged, Recogniser
from stopit_core.flags.gate import Recognisers, load_recognisers
from stopit_core.flags.recognisers import FlagHeader, ReplyKeyword, ReportAddress
from stopit_core.flags.rules import FlagRules

__all__ = [
    "Flag",
    "FlagHeader",
    "FlagRules",
    "NamedOriginal",
    "NotFlagged",
    "Recogniser",
    "Recognisers",
    "ReplyKeyword",
    "ReportAddress",
    "load_recognisers",
]
