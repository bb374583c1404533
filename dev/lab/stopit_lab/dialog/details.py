"""The indented lines below a sentence: how a message is sent, and what is checked of one that was got."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from stopit_lab.dialog import words
from stopit_lab.dialog.steps import Check, CheckKind, Item, Outcome, Sending
from stopit_lab.messages import Style

__all__ = ["DetailError", "read_check", "read_sending"]

_HEADER = re.compile(r"(?P<name>[A-Z][A-Za-z0-9-]*):(?:\s+(?P<value>.*))?")
_KEY = re.compile(r"(?P<key>[a-z][a-z ]*):\s+(?P<value>.+)")
_OUTCOME = re.compile(r"(?P<outcome>is (?:accepted|refused|put off))(?:: (?P<said>.+))?")
_STYLES = {style.name.lower().replace("_", "-"): style for style in Style}
_ADDRESSES = ("From", "To", "Cc", "Bcc", "Reply-To", "Sender", "Resent-From", "Resent-To")
_SENDING_KEYS = ("without", "style", "envelope from", "envelope to", "login", "client address", "called")
_CHECKS = {
    kind.value: kind
    for kind in (CheckKind.HAS, CheckKind.HAS_NOT, CheckKind.BEGINS, CheckKind.WITHOUT, CheckKind.CASE)
}


class DetailError(ValueError):
    """An indented line that cannot be read. `line` is its number, 0 where the caller knows it."""

    def __init__(self, problem: str, line: int = 0) -> None:
        super().__init__(problem)
        self.line = line


def read_sending(lines: Iterable[tuple[int, str]], outside: bool) -> Sending:
    """Return how a message is sent, from the numbered lines below its sentence. Raises DetailError."""
    read: dict[str, Any] = {"outside": outside}
    headers: list[tuple[str, str]] = []
    text: list[str] = []
    for number, line in lines:
        try:
            if line.startswith("|"):
                text.append(line[1:].removeprefix(" "))
            elif found := _HEADER.fullmatch(line):
                headers.append(_header(found["name"], found["value"] or ""))
            elif found := _OUTCOME.fullmatch(line):
                read |= {"outcome": Outcome(found["outcome"]), "said": found["said"] or ""}
            elif (found := _KEY.fullmatch(line)) and found["key"] in _SENDING_KEYS:
                read |= _key(found["key"], found["value"])
            else:
                known = ("| text", "Header: value", *(f"{key}:" for key in _SENDING_KEYS), *Outcome)
                raise DetailError(f"not a line about how a message is sent: {line}; lines are: {', '.join(known)}")
        except ValueError as error:
            raise DetailError(str(error), number) from None
    return Sending(headers=tuple(headers), text="\n".join(text) + "\n" if text else None, **read)


def _header(name: str, value: str) -> tuple[str, str]:
    if name in _ADDRESSES:
        for one in words.split_list(value):
            words.address_name(one)
    return name, value


def _key(key: str, value: str) -> dict[str, Any]:
    if key == "style":
        if value not in _STYLES:
            raise DetailError(f"no client writes in style {value}; {words.did_you_mean(value, _STYLES)}")
        return {"style": _STYLES[value]}
    if key == "login":
        if value not in (*words.AUTHORS, "none"):
            raise DetailError(f"nobody has the login {value}; {words.did_you_mean(value, (*words.AUTHORS, 'none'))}")
        return {"login": "" if value == "none" else value}
    if key == "envelope from":
        if value != "<>":
            words.address_name(value)
        return {"envelope_from": "" if value == "<>" else value}
    if key == "envelope to":
        return {"envelope_to": tuple(_header("To", value)[1] and words.split_list(value))}
    if key == "without":
        return {"without": words.split_list(value)}
    return {key.replace(" ", "_"): value}


def read_check(number: int, line: str) -> Check:
    """Return the check that a line below `gets` asks for. Raises DetailError or ValueError."""
    if line.startswith("|"):
        return Check(number, CheckKind.TEXT, (Item(line[1:].removeprefix(" ")),))
    if line == CheckKind.AS_SENT.value:
        return Check(number, CheckKind.AS_SENT)
    if found := _HEADER.fullmatch(line):
        return Check(number, CheckKind.HEADER, (Item(found["value"] or ""),), found["name"])
    found = _KEY.fullmatch(line)
    kind = _CHECKS.get(found["key"]) if found else None
    if found is None or kind is None:
        known = ("| text", "Header: value", *(f"{key}:" for key in _CHECKS), CheckKind.AS_SENT.value)
        raise DetailError(f"not a line about a message that was got: {line}; lines are: {', '.join(known)}")
    items = [Item(word, not quoted and word in words.PEOPLE) for word, quoted in words.split_quoted(found["value"])]
    return Check(number, kind, tuple(items))
