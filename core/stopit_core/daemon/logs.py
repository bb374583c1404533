"""Structured logs: one logfmt line for each event on stderr, with the journal's `<N>` level prefix (sd-daemon(3)).

Every line about a message has its queue id. Addresses appear only as keyed digests (`Keyring.log`). Values are
escaped, so text from a mail can never become a log line.
"""

from __future__ import annotations

import logging
import re
import sys
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

from stopit_core.identity.keys import Keyring

__all__ = ["Log", "open_log", "without_addresses"]

Log = structlog.typing.FilteringBoundLogger

_NOT_ATOM = r"\s<>()\[\],;:\"'"
# An apostrophe may be part of a local part (o'brien@...); around an address it is a quotation mark.
_ADDRESS = re.compile(rf"[^{_NOT_ATOM}]+(?:'+[^{_NOT_ATOM}]+)*@[^{_NOT_ATOM}]+")
_PRIORITY = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


def open_log(program: str, stream: TextIO | None = None) -> Log:
    """Return a logger for this program. It writes to stderr unless a stream is given.

    Log output of libraries is dropped: flufl.bounce, for example, would log lines of mail.
    """
    logging.getLogger().addHandler(logging.NullHandler())
    log: Log = structlog.wrap_logger(
        structlog.PrintLogger(stream or sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        processors=[
            structlog.processors.add_log_level,
            _printable,
            _with_priority,
        ],
        cache_logger_on_first_use=True,
        program=program,
    )
    return log


def without_addresses(text: str, keyring: Keyring) -> str:
    """Return the text with each address replaced by its digest for logs: messages of servers and libraries contain
    addresses."""
    return _ADDRESS.sub(lambda found: keyring.log(found[0].casefold()), text)


def _printable(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {key: _plain(value) for key, value in event.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, (bool, int, float)) or value is None:
        return value
    return str(value).encode("ascii", "backslashreplace").decode("ascii")


_logfmt = structlog.processors.LogfmtRenderer(key_order=["level", "event", "queue_id"], drop_missing=True)


def _with_priority(logger: WrappedLogger, method: str, event: EventDict) -> str:
    priority = _PRIORITY.get(str(event.get("level")), 6)
    line = _logfmt(logger, method, event)
    if not line.isprintable():
        line = "".join(c if c.isprintable() else "?" for c in line)
    return f"<{priority}>{line}"
