"""Invented results."""

from __future__ import annotations

import pytest

from stopit_bench.machine import Machine
from stopit_bench.record import Curve, Line, Part, Results, Series, Unit, at_least, at_most, figure, once, ratio


@pytest.fixture
def results() -> Results:
    """Results with two parts: one with a met and a missed target, one with a curve."""
    ours = Series("Stopit", Unit.PER_SECOND, (5000.0, 6000.0, 5500.0))
    other = Series("C, sees every step", Unit.PER_SECOND, (4000.0, 4000.0, 4000.0))
    wait = Series("Stopit, p99", Unit.MILLISECONDS, (1.25, 1.5, 1.75))
    figures = (
        ratio("Stopit, against C", ours, other, at_least(1.3)),
        figure("Stopit, p99", wait, at_most(1)),
        once("a trace", Unit.BYTES, 149.6, at_most(150)),
        ratio("Stopit, against a peer", ours, other),
    )
    curve = Curve(
        "Body", "kB", "messages a second", (Line("Stopit", ((2, 5000), (200, 4990))), Line("C", ((2, 4000),)))
    )
    machine = Machine(2, "Some CPU", 24, "6.1", "Debian 12", "3.11.2", "0.1.0", {"postfix": "3.7.11"})
    return Results(
        machine,
        (
            Part(
                "milter",
                "At the protocol",
                "./run bench --only milter",
                "2026-11-22",
                figures,
                (ours, other),
                notes=("4 connections.",),
            ),
            Part("curves", "Growth", "./run bench --only curves", "2026-11-22", curves=(curve,)),
        ),
    )
