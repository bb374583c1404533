"""Is this message a flag? Pure values in and out; no policy on what follows from it.

rules = FlagRules.of(settings.flag, settings.campus)
recognisers = load_recognisers(rules)
end of headers:  recognisers.precheck(envelope, headers)  -> those that must read the body, or why not a flag
end of message:  recognise(those, envelope, mail)         -> Flag, or why not a flag
"""

from stopit_core.flags.flag import Flag, NamedOriginal, NotFlagged, Recogniser
from stopit_core.flags.gate import Recognisers, load_recognisers, recognise
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
    "recognise",
]
