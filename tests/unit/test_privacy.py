"""docs/privacy.md names everything that is kept (fields, columns, names in log lines), and nothing else."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import msgspec
import pytest

from stopit_core.cases.schema import metadata
from stopit_core.model import AnswerReport, AuthResults, ContactReport, FlagReport, Original, Trace

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "privacy.md").read_text("utf-8")
LEVELS = {"debug", "info", "warning", "error", "critical"}


def named(heading: str) -> set[str]:
    """Return the names in the first cells of the tables under a heading, up to the next heading."""
    _, _, section = PAGE.partition(f"\n{heading}\n")
    assert section, f"privacy.md has no {heading}"
    section = re.split(r"^#", section, maxsplit=1, flags=re.M)[0]
    cells = re.findall(r"^\| (`[^|]*) \|", section, re.M)
    return {name for cell in cells for name in re.findall(r"`([a-z_]+)`", cell)}


def fields(*kinds: type[msgspec.Struct]) -> set[str]:
    return {field for kind in kinds for field in kind.__struct_fields__}


def test_every_field_of_a_trace_is_named() -> None:
    assert named("## Traces") == fields(Trace, AuthResults)


def test_every_field_of_a_report_is_named() -> None:
    assert named("## Reports on the queue") == fields(FlagReport, Original, AnswerReport, ContactReport)


@pytest.mark.parametrize("table", sorted(metadata.tables))
def test_every_column_of_the_case_record_is_named(table: str) -> None:
    assert named(f"### {table}") == set(metadata.tables[table].columns.keys())


def test_no_table_is_named_that_is_not_there() -> None:
    assert set(re.findall(r"^### (\w+)$", PAGE, re.M)) == set(metadata.tables)


def test_every_name_in_a_log_line_is_named() -> None:
    """The names are those in the calls of loggers in the sources."""
    found: set[str] = set()
    for path in [*ROOT.glob("core/**/*.py"), *ROOT.glob("milter/**/*.py"), *ROOT.glob("notifier/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            found |= _names(node)
    assert "reporter" in found
    assert named("## Logs") == found


def _names(node: ast.AST) -> set[str]:
    """Return the names that a call of a logger, or of a function that passes names to one, puts into a line."""
    if isinstance(node, ast.Call):
        called = ast.unparse(node.func)
        logs = called.rpartition(".")[2] in LEVELS and re.search(r"log$", called.rpartition(".")[0])
        if logs or called == "self._log_failure":
            return {each.arg for each in node.keywords if each.arg and each.arg != "grave"}
    if isinstance(node, ast.FunctionDef) and node.name == "_names":
        texts = [each for each in ast.walk(node) if isinstance(each, ast.Dict)]
        return {key.value for each in texts for key in each.keys if isinstance(key, ast.Constant)}
    return set()
