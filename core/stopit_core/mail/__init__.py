"""Mail as values: the only reader of MIME in the project. Everything is capped, and hostile input never raises.

`Headers` holds header fields, `read` and `read_message` return a `Mail`, `first_typed_line` separates what the person
typed from what a client quoted. All pure: values in, values out.
"""

from stopit_core.mail.folding import FoldedLine, fold_line, words_of
from stopit_core.mail.headers import Headers, addresses_in, message_ids
from stopit_core.mail.origin import is_automatic, is_list
from stopit_core.mail.reading import REPORT_BYTES, Mail, read, read_message
from stopit_core.mail.typed import first_typed_line, typed_text

__all__ = [
    "REPORT_BYTES",
    "FoldedLine",
    "Headers",
    "Mail",
    "addresses_in",
    "first_typed_line",
    "fold_line",
    "is_automatic",
    "is_list",
    "message_ids",
    "read",
    "read_message",
    "typed_text",
    "words_of",
]
