"""The documented configuration file, written from the definitions: what ships can't say other than what holds."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from stopit_core.config.sections import Office, Settings
from stopit_core.config.values import format_duration
from stopit_core.errors import ConfigError, Fault

__all__ = ["describe", "describe_key"]

_HEAD = """\
Configuration of Stopit. `stopitctl check` reads it and names every fault at once; SIGHUP makes the daemons read it
again, and a faulty file leaves the old one in force. Keys shown without a # must be set; a key behind a # shows
what holds when nothing is written. Times are a number and a unit: "30s", "15m", "12h", "14d".
Written by `stopitctl config describe`.
"""
_WIDTH = 110


def describe(values: Mapping[str, Mapping[str, Any]] | None = None) -> str:
    """The file as TOML. `values` (section to key to value) are written as set; the rest as documented defaults."""
    chosen = values or {}
    lines = _comment(_HEAD)
    for name, field in Settings.model_fields.items():
        section = Office if name == "office" else field.annotation
        if not (isinstance(section, type) and issubclass(section, BaseModel)):
            raise TypeError(f"section {name} is no model")
        lines += ["", *_comment(section.__doc__ or "")]
        optional = "#" if section is Office else ""
        lines.append(f"{optional}[[office]]" if section is Office else f"[{name}]")
        for key, inner in section.model_fields.items():
            lines += _entry(key, inner, chosen.get(name, {}), optional)
    return "\n".join(lines) + "\n"


def describe_key(path: str) -> str:
    """What one key (`policy.cooldown`) or one section (`policy`) means. Raises ConfigError for an unknown one."""
    section, _, key = path.partition(".")
    for block in describe().split("\n\n")[1:]:
        lines = block.splitlines()
        head = next(at for at, line in enumerate(lines) if line.lstrip("#").startswith("["))
        if lines[head].strip("#[]") != section:
            continue
        if not key:
            return block.rstrip("\n") + "\n"
        start = head + 1
        for at in range(head + 1, len(lines)):
            if lines[at].lstrip("#").startswith(f"{key} = "):
                return "\n".join(lines[start : at + 1]) + "\n"
            if not lines[at].startswith("# "):
                start = at + 1
    known = ", ".join(Settings.model_fields)
    raise ConfigError([Fault("", path, "", f"no such key; the sections are: {known}")])


def _entry(key: str, field: FieldInfo, chosen: Mapping[str, Any], optional: str) -> list[str]:
    lines = _comment(field.description or "")
    if key in chosen:
        return [*lines, f"{key} = {_toml(chosen[key])}"]
    if field.is_required():
        return [*lines, f"{optional}{key} = {_toml(field.examples[0] if field.examples else '')}"]
    default = field.get_default(call_default_factory=True)
    if default in (None, "") and field.examples:
        return [*lines, f"#{key} = {_toml(field.examples[0])}  # an example; not set"]
    return [*lines, f"#{key} = {_toml('' if default is None else default)}"]


def _comment(text: str) -> list[str]:
    flat = " ".join(text.split())
    return [f"# {line}" for line in textwrap.wrap(flat, _WIDTH - 2)]


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, IntEnum):
        return f'"{value.name.lower()}"'
    if isinstance(value, Enum):
        return f'"{value.value}"'
    if isinstance(value, float):
        return f'"{format_duration(value)}"'
    if isinstance(value, (str, Path)):
        return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, Iterable):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return str(value)
