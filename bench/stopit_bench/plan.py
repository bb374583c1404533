"""The parts of the benchmark, in the order in which they are measured and shown."""

from __future__ import annotations

from collections.abc import Collection

from stopit_bench.bench import PartPlan
from stopit_bench.parts.latency import measure_latency
from stopit_bench.parts.milter import measure_body, measure_milter

__all__ = ["chosen", "plans"]


def plans() -> tuple[PartPlan, ...]:
    """All of them."""
    return (
        PartPlan("milter", "Unflagged mail at the milter protocol", measure_milter),
        PartPlan("body", "A large message against a small one", measure_body),
        PartPlan("latency", "What a message waits for", measure_latency),
    )


def chosen(only: Collection[str], quick: bool) -> tuple[PartPlan, ...]:
    """The parts named, or all of this effort. Raises ValueError that names those there are."""
    known = plans()
    unknown = set(only) - {plan.name for plan in known}
    if unknown:
        names = ", ".join(plan.name for plan in known)
        raise ValueError(f"there is no part {', '.join(sorted(unknown))}; the parts are {names}")
    if only:
        return tuple(plan for plan in known if plan.name in only)
    return tuple(plan for plan in known if plan.quick or not quick)
