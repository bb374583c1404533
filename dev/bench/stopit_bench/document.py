"""The tables of docs/performance.md, made from the kept results, so that the page cannot say anything else.

Between `<!-- bench: NAME -->` and `<!-- /bench -->` stands what this module put there; the rest is people's.
"""

from __future__ import annotations

import re

from stopit_bench.record import Figure, Part, Results, Verdict
from stopit_bench.table import machine_lines, markdown_part, number

__all__ = ["MISSING", "filled", "places"]

MISSING = "Not measured yet."
_PLACE = re.compile(r"(<!-- bench: ([a-z]+) -->\n).*?(<!-- /bench -->)", re.S)
_SUMMARY, _MACHINE = "summary", "machine"


def places(page: str) -> list[str]:
    """The names of the places that a page has, in order."""
    return [name for _, name, _ in _PLACE.findall(page)]


def filled(page: str, results: Results) -> str:
    """The page with every place filled. Raises ValueError when a part of the results has no place in it."""
    homeless = {part.name for part in results.parts} - set(places(page))
    if homeless:
        raise ValueError(f"the page has no place for {', '.join(sorted(homeless))}")
    return _PLACE.sub(lambda found: found[1] + _content(found[2], results) + "\n" + found[3], page)


def _content(name: str, results: Results) -> str:
    if name == _MACHINE:
        return "\n".join(f"- {line}" for line in machine_lines(results.machine))
    if name == _SUMMARY:
        return _summary(results)
    for part in results.parts:
        if part.name == name:
            return markdown_part(part)
    return MISSING


def _summary(results: Results) -> str:
    """Every figure with a target, and what became of it."""
    asked = [(part, each) for part in results.parts for each in part.figures if each.verdict is not Verdict.NONE]
    lines = ["| figure | median | target | | part |", "| --- | --- | --- | --- | --- |"]
    return "\n".join([*lines, *(_row(part, each) for part, each in asked)])


def _row(part: Part, figure: Figure) -> str:
    limit = f"{figure.target.sense} {number(figure.target.limit, figure.unit)}" if figure.target else ""
    cells = (figure.name, number(figure.value, figure.unit), limit, figure.verdict.value, part.name)
    return f"| {' | '.join(cells)} |"
