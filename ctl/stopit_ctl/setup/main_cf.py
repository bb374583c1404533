"""main.cf as text: put a milter first in a parameter, add a block of definitions, take both out again. Pure.

The file is its owner's: every line that is not ours stays as it is, comments and all. A parameter begins at the start
of a line and goes on in lines that begin with white space; of two definitions the last one counts (postconf(5)).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from stopit_ctl.setup.snippets import BEGIN, END

__all__ = ["put_first", "values", "with_block", "without_block", "without_names"]


def values(text: str) -> dict[str, str]:
    """What the text sets, each value on one line."""
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
    """The text with `word` in front of the value of this parameter, which must be set in it."""
    *_, found = re.finditer(rf"^{name}\s*=", text, re.M)
    head, rest = text[: found.end()], text[found.end() :]
    first, newline, below = rest.partition("\n")
    if first.strip():
        space = first[: len(first) - len(first.lstrip())]
        return f"{head}{space}{word}, {first.lstrip()}{newline}{below}"
    return f"{head} {word}{',' if _goes_on(below) else ''}{rest}"


def with_block(text: str, lines: Sequence[str]) -> str:
    """The text with these lines between our marks at its end."""
    have = text.split("\n")
    if have[-1]:  # the last line has no end, and shall have none afterwards
        return "\n".join([*have, BEGIN, *lines, END])
    return "\n".join([*have[:-1], "", BEGIN, *lines, END, ""])


def without_block(text: str) -> tuple[str, str]:
    """The text without what stands between our marks, and what stood there ("" for nothing)."""
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
    """The text without `$name` for each of these names, wherever it stands in a list; comments are left alone."""
    if not names:
        return text
    name = rf"\$(?:{'|'.join(map(re.escape, names))})\b"
    forms = (  # as `put_first` puts it, then as a person may have moved it
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
    """Whether the first line of this text that is neither comment nor empty continues the one before."""
    lines = (line for line in below.split("\n") if line.strip() and not line.lstrip().startswith("#"))
    return next(lines, "")[:1].isspace()
