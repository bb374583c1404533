"""The files for the repository's host, for editors and for pre-commit: they agree with ./run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
TEMPLATES = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
FORMS = [path for path in TEMPLATES if path.name != "config.yml"]


def lint_steps() -> list[str]:
    """The steps of ./run lint, in its order."""
    (steps,) = re.findall(r"^lint_steps=\((.*)\)$", (ROOT / "run").read_text(), re.M)
    return str(steps).split()


def hooks() -> list[dict[str, Any]]:
    configuration = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    return [hook for repository in configuration["repos"] for hook in repository["hooks"]]


def test_pre_commit_calls_each_step_of_lint() -> None:
    assert [hook["entry"] for hook in hooks()] == [f"./run lint {step}" for step in lint_steps()]


def test_pre_commit_installs_no_tool_of_its_own() -> None:
    """A change is checked only by the versions that are locked in requirements/."""
    configuration = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repository["repo"] for repository in configuration["repos"]] == ["local"]
    assert {hook["language"] for hook in hooks()} == {"system"}
    assert not [hook for hook in hooks() if hook["pass_filenames"] or "additional_dependencies" in hook]


def test_every_step_of_lint_is_a_case_of_it() -> None:
    body = (ROOT / "run").read_text().partition("\nlint() {\n")[2].partition("\n}\n")[0]
    assert re.findall(r"^ +([a-z]+)\) .*;;$", body, re.M) == lint_steps()


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_a_form_says_what_to_leave_out(path: Path) -> None:
    form = yaml.safe_load(path.read_text())
    assert {"name", "description", "body"} <= set(form)
    first, last = form["body"][0], form["body"][-1]
    assert "**Leave out:** addresses" in first["attributes"]["value"]
    assert last["attributes"]["options"][0]["required"] is True
    ids = [field["id"] for field in form["body"] if field["type"] != "markdown"]
    assert len(set(ids)) == len(ids)
    assert {field["type"] for field in form["body"]} <= {"markdown", "textarea", "input", "dropdown", "checkboxes"}


def test_a_vulnerability_has_no_public_form() -> None:
    assert {path.name for path in TEMPLATES} == {"bug.yml", "idea.yml", "config.yml"}
    assert yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml").read_text()) == {
        "blank_issues_enabled": False
    }


def editor_rules() -> Iterator[tuple[str, str]]:
    section = ""
    for line in (ROOT / ".editorconfig").read_text().splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif "=" in line:
            yield section, line


def test_editorconfig_agrees_with_the_tree() -> None:
    rules = set(editor_rules())
    assert {("*", "charset = utf-8"), ("*", "end_of_line = lf"), ("*", "indent_size = 4")} <= rules
    assert ("debian/rules", "indent_style = tab") in rules
    assert "\t" in (ROOT / "debian" / "rules").read_text()
    for path in [ROOT / "run", *ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "core").rglob("*.py")]:
        text = path.read_bytes()
        assert not re.search(rb"[ \t]+$|\r|\t", text, re.M), path
        assert text.endswith(b"\n") or not text, path
