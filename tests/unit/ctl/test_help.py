"""Help: every command has a text of at most 80 columns, and no text changes without its golden file."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import click
import pytest
from click.testing import CliRunner

from stopit_core import __version__
from stopit_ctl.__main__ import command_line


def every_command(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield words
    if isinstance(command, click.Group):
        for name, inner in command.commands.items():
            yield from every_command(inner, (*words, name))


@pytest.mark.parametrize("words", list(every_command(command_line())), ids=lambda words: "-".join(words) or "top")
def test_every_command_explains_itself(words: tuple[str, ...], golden: Callable[[str, str], None]) -> None:
    result = CliRunner().invoke(command_line(), [*words, "--help"], prog_name="stopitctl", env={"COLUMNS": "80"})
    assert result.exit_code == 0
    assert max(map(len, result.output.splitlines())) <= 80
    golden(f"help/{'-'.join(words) or 'stopitctl'}", result.output)


def test_version() -> None:
    result = CliRunner().invoke(command_line(), ["--version"])
    assert result.output == f"stopitctl {__version__}\n"


def test_an_unknown_command_is_wrong_usage() -> None:
    assert CliRunner().invoke(command_line(), ["frobnicate"]).exit_code == 2
