"""Everything that the documents name exists: keys, metrics, commands, files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import yaml
from pydantic import BaseModel

from stopit_core.config import FlagWords, LedgerStore, PolicyRules, Settings
from stopit_ctl.__main__ import command_line
from stopit_lab.metrics_page import every_metric

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted((*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")))
SNIPPETS = sorted((ROOT / "config").glob("*/*.snippet")) + sorted((ROOT / "config").glob("*/*.mc"))
UNITS = sorted((ROOT / "systemd").glob("*.service"))
RULES = sorted((ROOT / "config" / "prometheus").glob("*.yml"))
PACKAGES = {f"stopit_{name}" for name in ("core", "milter", "notifier", "ctl", "dashboards", "lab", "bench")}
FILES = {"py", "service", "db", "password"}
POSTFIX = {"stopit_from_outside", "stopit_from_members"}

every_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
everything = pytest.mark.parametrize(
    "path", [*DOCUMENTS, *SNIPPETS, *UNITS, *RULES], ids=lambda path: str(path.relative_to(ROOT))
)


def series() -> dict[str, dict[str, set[str]]]:
    """Return the labels and their values of each series of the daemons, and of each family's name."""
    made = [metrics.registry for program in every_metric().values() for metrics in program]
    found: dict[str, dict[str, set[str]]] = {}
    for registry in made:
        for family in registry.collect():
            found.setdefault(family.name, {})
            for sample in family.samples:
                labels = found.setdefault(sample.name, {})
                for name, value in sample.labels.items():
                    labels.setdefault(name, set()).add(value)
    return found


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


def names_code(name: str) -> bool:
    """Return True for a dotted name of our code, such as `policy.decide` or `milter.session`."""
    place, _, attribute = name.partition(".")
    package = list((ROOT / place / f"stopit_{place}").rglob("*.py"))
    files = [*package, *(ROOT / "core" / "stopit_core").rglob(f"{place}.py")]
    return any(
        attribute == file.stem or re.search(rf"\b(def|class) {attribute}\b", file.read_text()) for file in files
    )


@everything
def test_every_key_that_is_named_can_be_set(path: Path) -> None:
    sections = {
        name: set(section.model_fields)
        for name, field in Settings.model_fields.items()
        if isinstance(section := field.annotation, type) and issubclass(section, BaseModel)
    }
    named = re.findall(rf"(?<![\w./-])({'|'.join(sections)})\.([a-z_]+)(?![\w(.])", path.read_text())

    unknown = [f"{section}.{key}" for section, key in named if key not in sections[section] | FILES]
    assert not [name for name in unknown if not names_code(name)]


@everything
def test_every_metric_that_is_named_is_there_with_its_labels(path: Path) -> None:
    known = series()
    text = path.read_text()
    for name, labels in re.findall(r"(?<![\w/-])(stopit_[a-z_]+)(\{[^}]*\})?", text):
        if name in PACKAGES | POSTFIX:
            continue
        assert name in known, f"{path.name}: there is no {name}"
        for label, operator, value in re.findall(r'(\w+)(=~?)"([^"]*)"', labels):
            if label in ("job", "instance"):  # Prometheus's own
                continue
            assert label in known[name], f"{path.name}: {name} has no label {label}"
            wanted = set(value.replace("\\", "").split("|")) if operator == "=~" else {value}
            assert wanted <= known[name][label], f"{path.name}: {name} has no {label} of {value}"


@everything
def test_every_command_that_is_named_can_be_given(path: Path) -> None:
    known = set(commands(command_line()))
    for line in re.findall(r"`stopitctl ([a-z|-]+(?: [a-z]+)?)", path.read_text()):
        words = line.split()
        assert tuple(words) in known or (words[0],) in known - {("queue",), ("cases",), ("preview",), ("config",)}, (
            line
        )


@every_document
def test_every_file_that_is_linked_to_is_there(path: Path) -> None:
    text = path.read_text()
    for target in re.findall(r"\]\(([^)#]+)\)", text) + re.findall(r'<img src="([^"]+)"', text):
        if not target.startswith("https:"):
            assert (path.parent / target).exists(), f"{path.name}: there is no {target}"


def test_a_verb_of_the_readme_is_one_of_run() -> None:
    verbs = set(re.findall(r"^    ([a-z]+)\)$", (ROOT / "run").read_text(), re.M))
    for document in DOCUMENTS:
        assert set(re.findall(r"\./run ([a-z]+)", document.read_text())) <= verbs | {"help"}


def test_every_page_is_in_the_navigation() -> None:
    """A directory in it stands for all its pages."""
    named = set(_leaves(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    for document in (ROOT / "docs").rglob("*.md"):
        page = document.relative_to(ROOT / "docs")
        folders = {f"{folder}/" for folder in map(str, page.parents)}
        assert str(page) in named or named & folders, f"{page}: put it into nav of mkdocs.yml, by reader"


def _leaves(entry: object) -> Iterator[str]:
    if isinstance(entry, str):
        yield entry
        return
    for each in entry.values() if isinstance(entry, dict) else entry:
        yield from _leaves(each)


def test_staff_are_told_of_every_alert() -> None:
    """By the subject of the alert."""
    page = (ROOT / "docs" / "staff.md").read_text()
    templates = sorted((ROOT / "config" / "templates").glob("alert-*.j2"))
    assert templates
    for template in templates:
        found = re.search(r"{% block subject %}(.*){% endblock %}", template.read_text())
        assert found
        assert f"| {found[1]} |" in page, template.name


def test_the_members_page_says_the_same_in_both_languages() -> None:
    """Both have the same number of sections, and the same words to type in the same order."""
    pages = [(ROOT / "docs" / name).read_text("utf-8") for name in ("members.md", "members.de.md")]
    english, german = (
        [line.strip() for line in page.splitlines() if line.startswith(("    ", "        ")) and "**" not in line]
        for page in pages
    )
    assert english == german
    assert len({page.count("\n## ") for page in pages}) == 1


def test_the_members_page_says_what_the_program_does() -> None:
    page = (ROOT / "docs" / "members.md").read_text("utf-8")
    flag, policy = FlagWords(), PolicyRules()
    for words in (flag.keywords, flag.cancel):
        assert f"    {words[0]}\n" in page
    for command in (flag.record, flag.urgent):
        assert f"    {flag.keywords[0]} {command[0]}\n" in page
    assert policy.notice_delay == (15 * 60, 60 * 60)
    assert "at least 15 minutes, and at most an hour" in page
    assert LedgerStore().retention == 14 * 86400
    assert "older than 14 days" in page
