"""Structured logs: one logfmt line an event to stderr, with the journal's `<N>` level prefix (sd-daemon(3)).

Every line about a message has its queue id; addresses stand only as keyed digests (`Keyring.log`). Values are
escaped, so that a line of mail can never become a line of the log.
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

_NO_ATOM = r"\s<>()\[\],;:\"'"
# An apostrophe may stand in a local part (o'brien@...), and around an address it is a quotation mark.
_ADDRESS = re.compile(rf"[^{_NO_ATOM}]+(?:'+[^{_NO_ATOM}]+)*@[^{_NO_ATOM}]+")
_PRIORITY = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


def open_log(program: str, stream: TextIO | None = None, level: int = logging.INFO) -> Log:
    """A logger for this program. It writes to stderr unless a stream is given.

    What libraries log stays silent: flufl.bounce, for one, would put lines of mail there.
    """
    logging.getLogger().addHandler(logging.NullHandler())
    log: Log = structlog.wrap_logger(
        structlog.PrintLogger(stream or sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        processors=[
            structlog.processors.add_log_level,
            _printable,
            _prioritised,
        ],
        cache_logger_on_first_use=True,
        program=program,
    )
    return log


def without_addresses(text: str, keyring: Keyring) -> str:
    """The text with each address as it may stand in a log: what servers and libraries say is full of them."""
    return _ADDRESS.sub(lambda found: keyring.log(found[0].casefold()), text)


def _printable(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {key: _plain(value) for key, value in event.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, (bool, int, float)) or value is None:
        return value
    return str(value).encode("ascii", "backslashreplace").decode("ascii")


_logfmt = structlog.processors.LogfmtRenderer(key_order=["level", "event", "queue_id"], drop_missing=True)


def _prioritised(logger: WrappedLogger, method: str, event: EventDict) -> str:
    priority = _PRIORITY.get(str(event.get("level")), 6)
    line = _logfmt(logger, method, event)
    if not line.isprintable():
        line = "".join(c if c.isprintable() else "?" for c in line)
    return f"<{priority}>{line}"
