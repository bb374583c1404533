"""The worked example of CONTRIBUTING.md works: its test fails without its code, and passes with it."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
GROUP = "stopit.flags"
TEST = "tests/unit/core/flags/test_subject.py"
CODE = "core/stopit_core/flags/subject.py"

# The example's module is found beside the modules of the tree, and the tree stays as it is.
_BESIDE = "import stopit_core.flags\nstopit_core.flags.__path__.append({folder!r})\n"
_LOAD = """
from importlib.metadata import EntryPoint
from stopit_core.config import Campus, FlagWords
from stopit_core.flags import FlagRules
from stopit_core.flags.gate import recognisers_from
campus = Campus(name="Example", domains=("example.edu",), report_address="stopit@example.edu",
                staff_address="staff@example.edu")
recognisers_from([EntryPoint({name!r}, {value!r}, {group!r})], FlagRules.of(FlagWords(), campus))
"""


@pytest.fixture
def blocks() -> dict[str, str]:
    """The page's code blocks, by the file that each belongs in."""
    return dict(re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```$', PAGE, re.M | re.S))


@pytest.fixture
def tree(tmp_path: Path, blocks: dict[str, str]) -> Path:
    """A directory with only the example's test."""
    _write(tmp_path, TEST, blocks[TEST])
    (tmp_path / "conftest.py").write_text(_BESIDE.format(folder=str((tmp_path / CODE).parent)))
    return tmp_path


def test_each_block_belongs_in_one_file(blocks: dict[str, str]) -> None:
    assert set(blocks) == {TEST, CODE, "pyproject.toml"}


def test_the_example_is_not_in_the_tree(blocks: dict[str, str]) -> None:
    """The page has the only copy."""
    shipped = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][GROUP]
    assert not set(_entry_points(blocks)) & set(shipped)
    assert not (ROOT / CODE).exists()


def test_its_test_fails_first_as_the_page_says(tree: Path) -> None:
    done = _pytest(tree)
    assert done.returncode != 0
    (error,) = re.findall(r"^    (ModuleNotFoundError: .*)$", PAGE, re.M)
    assert error in done.stdout


def test_its_test_passes_with_its_code(tree: Path, blocks: dict[str, str]) -> None:
    _write(tree, CODE, blocks[CODE])
    done = _pytest(tree)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


def test_its_entry_point_can_be_loaded(tree: Path, blocks: dict[str, str]) -> None:
    _write(tree, CODE, blocks[CODE])
    for name, value in _entry_points(blocks).items():
        program = (tree / "conftest.py").read_text() + _LOAD.format(name=name, value=value, group=GROUP)
        done = _run(tree, "-c", program)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", [TEST, CODE])
@pytest.mark.parametrize("check", [["check"], ["format", "--check", "--diff"]], ids=["check", "format"])
def test_its_code_passes_lint(path: str, check: list[str], blocks: dict[str, str]) -> None:
    # For a module that is a file, ruff recognises that it is ours.
    ours = ["--config", 'lint.isort.known-first-party = ["stopit_core"]']
    command = [sys.executable, "-m", "ruff", *check, *ours, "--no-cache", "--stdin-filename", path, "-"]
    done = subprocess.run(command, cwd=ROOT, input=blocks[path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _entry_points(blocks: dict[str, str]) -> dict[str, str]:
    points: dict[str, str] = tomllib.loads(blocks["pyproject.toml"])["project"]["entry-points"][GROUP]
    return points


def _write(tree: Path, path: str, text: str) -> None:
    (tree / path).parent.mkdir(parents=True, exist_ok=True)
    (tree / path).write_text(text, "utf-8")


def _pytest(tree: Path) -> subprocess.CompletedProcess[str]:
    return _run(tree, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", TEST)


def _run(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-B", *arguments], cwd=tree, capture_output=True, text=True, check=False)
