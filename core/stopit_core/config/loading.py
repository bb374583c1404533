"""Read the configuration file into Settings, or report everything that is wrong with it."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from stopit_core.config.markers import former_name, needs_restart
from stopit_core.config.sections import Settings
from stopit_core.errors import ConfigError, Fault

__all__ = ["config_path", "load", "parse", "restart_keys"]

_DEFAULT_PATH = Path("/etc/stopit/stopit.toml")
_PASSWORD = re.compile(r"(://[^\s/@:]*:|[?&][a-z_]*pas[a-z]*=)[^\s@&]+")
"""Matches a password in a URL, which a fault must not show."""
_PLAIN = {
    "missing": "this key is required",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "string_type": "must be text in quotes",
    "string_too_short": "must not be empty",
    "too_short": "must name at least one",
    "tuple_type": "must be a list in [ ]",
    "model_type": "must be a table",
    "path_type": "must be a path in quotes",
}


def config_path(given: Path | None, environ: Mapping[str, str] = os.environ) -> Path:
    """Return the file to read: the given one, else $STOPIT_CONFIG, else /etc/stopit/stopit.toml."""
    return given or Path(environ.get("STOPIT_CONFIG") or _DEFAULT_PATH)


def load(path: Path) -> Settings:
    """Return the settings in the file. Raises ConfigError with every fault in it."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        advice = "there is no such file; `stopitctl init` writes one, --config names another"
        raise ConfigError([Fault(str(path), "", "", advice)]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Fault(str(path), "", "", f"cannot be read: {error}")]) from error
    return parse(text, str(path))


def parse(text: str, file: str) -> Settings:
    """Return the settings in this text, which was read from `file`. Raises ConfigError with every fault in it."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([Fault(file, "", "", f"is not TOML: {error}")]) from error
    if not document:
        advice = "nothing is set yet; `stopitctl init DOMAIN` writes a configuration here"
        raise ConfigError([Fault(file, "", "", advice)])
    former, faults = _use_new_names(document, file)
    try:
        settings = Settings.model_validate(document)
    except ValidationError as error:
        faults += [_fault(file, detail, former) for detail in error.errors() if not _follows(detail)]
        raise ConfigError(faults) from error
    if faults:
        raise ConfigError(faults)
    settings._warnings = tuple(
        Fault(file, old, "", f"is now {new}; rename it, the next version will not read it")
        for new, old in former.items()
    )
    return settings


def restart_keys() -> dict[str, tuple[str, ...]]:
    """Return the keys that need a restart, by section."""
    found = {name: tuple(key for key, field in keys if needs_restart(field)) for name, keys in _sections()}
    return {name: keys for name, keys in found.items() if keys}


def _sections() -> Iterator[tuple[str, list[tuple[str, FieldInfo]]]]:
    """Yield the sections, and the keys of each."""
    for name in Settings.model_fields:
        section = _model((name,))
        yield name, list(section.model_fields.items())


def _use_new_names(document: dict[str, Any], file: str) -> tuple[dict[str, str], list[Fault]]:
    """Rename keys that have their former name, in place.

    Returns the former names by the new ones ("section.key"), and a fault for each key that has both names.
    """
    former: dict[str, str] = {}
    faults: list[Fault] = []
    for section, keys in _sections():
        found = document.get(section)
        for table in found if isinstance(found, list) else [found]:
            for key, field in keys:
                old = former_name(field)
                if not old or not isinstance(table, dict) or old not in table:
                    continue
                value = table.pop(old)
                if key in table:
                    advice = f"is the former name of {section}.{key}, which is set too; remove it"
                    faults.append(Fault(file, f"{section}.{old}", "", advice))
                else:
                    table[key] = value
                    former[f"{section}.{key}"] = f"{section}.{old}"
    return former, faults


def _fault(file: str, detail: ErrorDetails, former: Mapping[str, str]) -> Fault:
    location = detail["loc"]
    key = former.get(_key(location)) or _key(location)
    value = detail.get("input")
    kind = detail["type"]
    if kind == "extra_forbidden":
        return Fault(file, key, "", _unknown(location))
    if kind == "missing":
        return Fault(file, key, "", _PLAIN[kind])
    advice = _advice(detail)
    shown = "" if isinstance(value, (dict, BaseModel)) or value is None else _toml(value)
    return Fault(file, key, shown, advice[:1].lower() + advice[1:])


def _advice(detail: ErrorDetails) -> str:
    """Return what a correct value is."""
    context = detail.get("ctx", {})
    match detail["type"]:
        case "enum" | "literal_error":
            return f"must be {context.get('expected', '')}"
        case "greater_than_equal":
            return f"must be {context.get('ge')} or more"
        case "less_than_equal":
            return f"must be {context.get('le')} or less"
        case "tuple_type" if isinstance(detail.get("input"), dict):
            return "must be a list of tables: [[ ]] around its name, not [ ]"
        case kind:
            return _PLAIN.get(kind) or detail["msg"].removeprefix("Value error, ")


def _follows(detail: ErrorDetails) -> bool:
    """Return whether a fault only follows from others: a list is not too short if its items are the fault."""
    return detail["type"] == "too_short" and bool(detail.get("input"))


def _key(location: tuple[int | str, ...]) -> str:
    key = ""
    for part in location:
        key += f"[{part + 1}]" if isinstance(part, int) else f".{part}"
    return _one_line(key.removeprefix("."))


def _unknown(location: tuple[int | str, ...]) -> str:
    known = list(_fields(location[:-1]))
    near = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.5)
    return f"unknown key; did you mean {near[0]}?" if near else f"unknown key; known here: {', '.join(known)}"


def _fields(location: tuple[int | str, ...]) -> tuple[str, ...]:
    """Return the names of the keys that this table may have."""
    return tuple(_model(location).model_fields)


def _model(location: tuple[int | str, ...]) -> type[BaseModel]:
    """Return the model of the table at this place."""
    model: type[BaseModel] = Settings
    for part in location:
        if isinstance(part, str):
            kind = model.model_fields[part].annotation
            inner = [arg for arg in get_args(kind) if isinstance(arg, type) and issubclass(arg, BaseModel)]
            model = inner[0] if inner else kind  # type: ignore[assignment]
    return model


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        shown = _PASSWORD.sub(r"\1***", value)
        return '"' + _one_line(shown.replace("\\", "\\\\").replace('"', '\\"')) + '"'
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return str(value)


def _one_line(text: str) -> str:
    """Return the text with unprintable characters escaped as in TOML, so that a fault is one line of a log."""
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in text)
