"""The parts of the benchmark, in the order of measuring and printing."""

from __future__ import annotations

from collections.abc import Collection

from stopit_bench.bench import PartPlan
from stopit_bench.parts.backlog import measure_backlog
from stopit_bench.parts.curves import measure_curves
from stopit_bench.parts.flood import measure_flood
from stopit_bench.parts.latency import measure_latency
from stopit_bench.parts.ledger import measure_ledger
from stopit_bench.parts.long import measure_long
from stopit_bench.parts.milter import measure_body, measure_milter
from stopit_bench.parts.peers import measure_peers
from stopit_bench.parts.postfix import measure_postfix
from stopit_bench.parts.start import measure_start

__all__ = ["chosen", "plans"]


def plans() -> tuple[PartPlan, ...]:
    """Return all parts."""
    return (
        PartPlan("milter", "Unflagged mail at the milter protocol", measure_milter),
        PartPlan("body", "A large message against a small one", measure_body),
        PartPlan("latency", "The wait of a message for the milter", measure_latency),
        PartPlan("postfix", "Unflagged mail through a real Postfix", measure_postfix),
        PartPlan("start", "From start to ready", measure_start),
        PartPlan("ledger", "The size of a trace, and the time to find one", measure_ledger, quick=False),
        PartPlan("flood", "Many members flag one message", measure_flood, quick=False),
        PartPlan("backlog", "Many reports waiting", measure_backlog, quick=False),
        PartPlan("long", "A long run", measure_long, quick=False),
        PartPlan("peers", "Other filters", measure_peers, quick=False),
        PartPlan("curves", "Growth of the cost", measure_curves, quick=False),
    )


def chosen(only: Collection[str], quick: bool) -> tuple[PartPlan, ...]:
    """Return the named parts, or all of the profile. Raises ValueError with the known names if one is unknown."""
    known = plans()
    unknown = set(only) - {plan.name for plan in known}
    if unknown:
        names = ", ".join(plan.name for plan in known)
        raise ValueError(f"there is no part {', '.join(sorted(unknown))}; the parts are {names}")
    if only:
        return tuple(plan for plan in known if plan.name in only)
    return tuple(plan for plan in known if plan.quick or not quick)
