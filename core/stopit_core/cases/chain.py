"""The history of a case as a hash chain: the hash of each line covers the line before it, so changes are detected.

A line that was altered, removed from the middle, inserted or moved breaks the chain at that place. (A user who may
rewrite the whole table may rewrite the whole chain; only a copy of the last hash elsewhere would show that.)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping

from stopit_core.cases.records import Event

__all__ = ["START", "broken_at", "dump_detail", "link"]

START = "0" * 64


def dump_detail(detail: Mapping[str, str]) -> str:
    """Return the detail in the form that is stored and hashed: JSON with sorted keys."""
    return json.dumps(dict(detail), sort_keys=True, ensure_ascii=True, separators=(",", ":"))


def link(previous: str, number: str, seq: int, at: float, actor: str, kind: str, detail: str) -> str:
    """Return the hash (SHA-256, hex) of a line that follows the line with the hash `previous`."""
    text = json.dumps([previous, number, seq, repr(at), actor, kind, detail], ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def broken_at(number: str, events: Iterable[Event]) -> int | None:
    """Return the place (seq) of the first line of a case's history that breaks the chain, None if all lines hold."""
    previous = START
    for expected, event in enumerate(events, 1):
        made = link(previous, number, event.seq, event.at, event.actor, event.kind, dump_detail(event.detail))
        if event.seq != expected or made != event.hash:
            return expected
        previous = event.hash
    return None
