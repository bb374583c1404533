"""The committed pages agree with the list of panels."""

from __future__ import annotations

from pathlib import Path

import pytest

from stopit_dashboards import pages
from stopit_dashboards.__main__ import main


def test_the_committed_pages_are_up_to_date() -> None:
    stale = [str(path) for path in pages.stale()]
    assert not stale, f"{stale}: run python -m stopit_dashboards"


def test_what_is_missing_or_old_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(tmp_path)]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / pages.DASHBOARD), str(tmp_path / pages.CONSOLE)]
    assert main(["--config", str(tmp_path), "--check"]) == 0

    (tmp_path / pages.CONSOLE).write_text("old")
    assert main(["--config", str(tmp_path), "--check"]) == 1
    assert str(tmp_path / pages.CONSOLE) in capsys.readouterr().err
    assert (tmp_path / pages.CONSOLE).read_text() == "old"

    assert main(["--config", str(tmp_path)]) == 0
    assert (tmp_path / pages.CONSOLE).read_text() == (pages.CONFIG / pages.CONSOLE).read_text()
