"""Edits the text of main.cf: puts a milter first in a parameter, adds a block of definitions, removes both. Pure.

Every other line stays as it is, with its comments. A parameter begins at the start of a line and continues in lines
that begin with white space; the last of several definitions counts (postconf(5)).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from stopit_ctl.setup.snippets import BEGIN, END

__all__ = ["put_first", "values", "with_block", "without_block", "without_names"]


def values(text: str) -> dict[str, str]:
    """Return the parameters that the text sets, each value on one line."""
    found: dict[str, str] = {}
    name = ""
    for line in text.split("\n"):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not line[0].isspace():
            name, _, value = line.partition("=")
            name = name.strip()
            found[name] = value.strip()
        elif name:
            found[name] = f"{found[name]} {line.strip()}".strip()
    return found


def put_first(text: str, name: str, word: str) -> str:
    """Return the text with `word` added in front of the value of a parameter, which the text must set."""
    *_, found = re.finditer(rf"^{name}\s*=", text, re.M)
    head, rest = text[: found.end()], text[found.end() :]
    first, newline, below = rest.partition("\n")
    if first.strip():
        space = first[: len(first) - len(first.lstrip())]
        return f"{head}{space}{word}, {first.lstrip()}{newline}{below}"
    return f"{head} {word}{',' if _goes_on(below) else ''}{rest}"


def with_block(text: str, lines: Sequence[str]) -> str:
    """Return the text with these lines, between our marks, added at its end."""
    have = text.split("\n")
    if have[-1]:  # the text does not end in a newline, and must not do so afterwards
        return "\n".join([*have, BEGIN, *lines, END])
    return "\n".join([*have[:-1], "", BEGIN, *lines, END, ""])


def without_block(text: str) -> tuple[str, str]:
    """Return the text without the block between our marks, and the block ("" without one)."""
    have = text.split("\n")
    if BEGIN not in have or END not in have[have.index(BEGIN) :]:
        return text, ""
    begin = have.index(BEGIN)
    end = have.index(END, begin)
    block = "\n".join(have[begin + 1 : end])
    if end + 1 < len(have) and begin and not have[begin - 1]:
        begin -= 1
    return "\n".join([*have[:begin], *have[end + 1 :]]), block


def without_names(text: str, names: Collection[str]) -> str:
    """Return the text without `$name` for each of these names at any place of a list; comments stay as they are."""
    if not names:
        return text
    name = rf"\$(?:{'|'.join(map(re.escape, names))})\b"
    forms = (  # as `put_first` writes it, then as a person may have moved it
        rf"{name}, (?=\S)",
        rf" {name},(?=\s*$)",
        rf"{name},(?=\S)",
        rf",\s*{name}",
        rf" {name}(?=\s*(?:\}}|$))",
        name,
    )
    lines = text.split("\n")
    for at, line in enumerate(lines):
        if not line.lstrip().startswith("#"):
            for form in forms:
                line = re.sub(form, "", line)
            lines[at] = line
    return "\n".join(lines)


def _goes_on(below: str) -> bool:
    """Return whether the first line of this text, without comments and empty lines, continues the line before."""
    lines = (line for line in below.split("\n") if line.strip() and not line.lstrip().startswith("#"))
    return next(lines, "")[:1].isspace()
