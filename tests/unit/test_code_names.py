"""The code that ARCHITECTURE.md and CONTRIBUTING.md name exists: classes, functions, modules, directories."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from stopit_core.config import Settings

ROOT = Path(__file__).parents[2]
FOLDERS = ("core", "milter", "notifier", "ctl", "dev")
SOURCES = {path.relative_to(ROOT): path.read_text() for name in FOLDERS for path in (ROOT / name).rglob("*.py")}
PLACES = {f"/{path}" for path in SOURCES} | {f"/{path.parent}/" for path in SOURCES}
FENCE = re.compile(r"^```.*?^```$", re.M | re.S)
OTHERS = {"default_action", "stopit.flags", "stopit.directory", "stopit_config_last_reload_successful"}
"""Names of the MTA's configuration, of entry-point groups and of metrics have the form of names of code."""


@pytest.mark.parametrize("page", ["ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_every_name_of_code_is_there(page: str) -> None:
    text = FENCE.sub("", (ROOT / page).read_text("utf-8"))
    names = set(re.findall(r"`([^`\s]+)`", text)) - OTHERS
    assert not [name for name in sorted(names) if not is_key(name) and not is_there(name)]


@pytest.mark.parametrize(
    "name", ["mail.nothing", "Work.nothing", "NothingLikeIt", "flags/nothing", "nothing_like_it", "nothing.read"]
)
def test_a_name_that_is_not_there_is_found(name: str) -> None:
    assert not is_there(name)


def is_key(name: str) -> bool:
    """Return True for a key of the configuration, such as `queue.lease`."""
    section, _, key = name.partition(".")
    field = Settings.model_fields.get(section)
    return field is not None and key in getattr(field.annotation, "model_fields", {})


def is_there(name: str) -> bool:
    """Return False for what has the form of a name of code and is none; True for everything else."""
    if re.fullmatch(r"[a-z_]+(/[a-z_]+)+(\.py)?", name):  # sending/outbox, config/sections.py
        return any(place.endswith((f"/{name}", f"/{name}.py", f"/{name}/")) for place in PLACES)
    if re.fullmatch(r"[a-z]+(_[a-z]+)+", name):  # leak_check
        return any(path.stem == name for path in SOURCES) or _defined(name, SOURCES.values())
    if match := re.fullmatch(r"((?:[a-z_]+\.)*[a-z_]+)\.(\w+)", name):  # mail.read, queue.spool.DurableReports
        inside = "/" + match[1].replace(".", "/")
        files = [path for path in SOURCES if re.search(rf"{inside}(/|\.py)", f"/{path}")]
        return any(path.stem == match[2] for path in files) or _defined(match[2], [SOURCES[path] for path in files])
    if match := re.fullmatch(r"([A-Z]\w+)\.(\w+)", name):  # Work.take
        return any(_defined(match[1], [text]) and _defined(match[2], [text]) for text in SOURCES.values())
    if re.fullmatch(r"([A-Z][a-z]+){2,}", name):  # NoticeFacts
        return _defined(name, SOURCES.values())
    return True


def _defined(name: str, texts: Iterable[str]) -> bool:
    return any(re.search(rf"\b(def|class) {name}\b|^{name}\b.* = ", text, re.M) for text in texts)
