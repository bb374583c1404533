"""Tables, printed and in the document."""

from __future__ import annotations

import pytest

from stopit_bench.record import Results, Unit
from stopit_bench.table import filled, number, text

PRINTED = """\
2 cores, Some CPU, 24 GiB; Debian 12, kernel 6.1
Stopit 0.1.0, Python 3.11.2; postfix 3.7.11

At the protocol  (./run bench --only milter)

  figure                     median  rounds, from to     target
  Stopit, against C            1.38  1.25 to 1.50        at least 1.30      met
  Stopit, p99               1.50 ms  1.25 ms to 1.75 ms  at most 1 ms       missed
  a trace                 150 bytes                      at most 150 bytes  met
  Stopit, against a peer       1.38  1.25 to 1.50

  measured            median  from   to     unit
  Stopit               5,500  5,000  6,000  /s
  C, sees every step   4,000  4,000  4,000  /s
  4 connections.

Growth  (./run bench --only curves)

  Body (kB), messages a second  Stopit  C
  2                              5,000  4,000
  200                            4,990
"""


def test_results_are_printed_with_machine_ratios_and_targets(results: Results) -> None:
    assert text(results) == PRINTED


def place(name: str, content: str = "old") -> str:
    return f"<!-- bench: {name} -->\n{content}\n<!-- /bench -->\n"


def test_a_part_in_the_document_is_a_markdown_table(results: Results) -> None:
    made = filled(f"Before.\n{place('curves')}After.\n{place('long')}", results)

    lines = [
        "`./run bench --only curves`, 2026-11-22:",
        "",
        "| Body (kB), messages a second | Stopit | C |",
        "| --- | --- | --- |",
        "| 2 | 5,000 | 4,000 |",
        "| 200 | 4,990 |  |",
    ]
    assert made == f"Before.\n{place('curves', chr(10).join(lines))}After.\n{place('long')}"
    assert filled(made, results) == made


def test_the_summary_has_every_figure_with_a_target(results: Results) -> None:
    made = filled(place("summary"), results)

    assert "| Stopit, against C | 1.38 | at least 1.30 | met | milter |" in made
    assert "| Stopit, p99 | 1.50 ms | at most 1 ms | missed | milter |" in made
    assert "against a peer" not in made


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (1.3, Unit.RATIO, "1.30"),
        (0.0, Unit.COUNT, "0"),
        (12345.6, Unit.PER_SECOND, "12,346 /s"),
        (0.031, Unit.MILLISECONDS, "0.03 ms"),
        (12.34, Unit.MILLISECONDS, "12.3 ms"),
        (1.0, Unit.SECONDS, "1 s"),
        (-0.2, Unit.MILLISECONDS, "-0.20 ms"),
        (0.4, Unit.PERCENT, "0.40 %"),
    ],
)
def test_a_number_has_the_digits_that_mean_something(value: float, unit: Unit, words: str) -> None:
    assert number(value, unit) == words
