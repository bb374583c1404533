"""Are we slower than the results that were kept? A comparison of ratios, for people, never for CI.

Only figures that do not depend on the machine are compared: ratios, percentages, bytes and counts, never times. A
figure with a target gets worse in its target's direction; one without is left out, because nobody said what is well.
"""

from __future__ import annotations

from dataclasses import dataclass

from stopit_bench.record import Figure, Results, Sense

__all__ = ["Change", "changes"]


@dataclass(frozen=True, slots=True)
class Change:
    """One figure, then and now. `worse_by` is a share of the old value: 0.1 is a tenth worse, -0.1 a tenth better."""

    part: str
    figure: str
    old: float
    new: float
    worse_by: float

    def beyond(self, tolerance: float) -> bool:
        """Whether it got worse by more than so much."""
        return self.worse_by > tolerance


def changes(old: Results, new: Results) -> list[Change]:
    """Every figure that both have and that can be compared. [] means that nothing was compared."""
    before = {(part.name, each.name): each for part in old.parts for each in part.figures}
    found = []
    for part in new.parts:
        for each in part.figures:
            known = before.get((part.name, each.name))
            if known is not None and each.target is not None and not each.unit.is_time:
                worse = _worse_by(known, each, each.target.sense)
                found.append(Change(part.name, each.name, known.value, each.value, worse))
    return found


def _worse_by(old: Figure, new: Figure, sense: Sense) -> float:
    lost = old.value - new.value if sense is Sense.AT_LEAST else new.value - old.value
    # Of nothing there is no share; what was 0 and is more counts in full.
    return lost / abs(old.value) if old.value else lost
