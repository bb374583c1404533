"""What a decision rests on beside the report: one frozen bundle, swapped whole when the configuration changes."""

from __future__ import annotations

from dataclasses import dataclass

from stopit_core.config import FlagWords, PolicyRules, Settings
from stopit_core.identity.keys import Keyring
from stopit_core.identity.people import People
from stopit_core.outgoing.render import Renderer

__all__ = ["Judging"]


@dataclass(frozen=True, slots=True)
class Judging:
    """The site's people, rules and words. `own_addresses` are never noticed: they are this service's own."""

    people: People
    rules: PolicyRules
    words: FlagWords
    renderer: Renderer
    report_address: str
    staff_address: str
    own_addresses: frozenset[str]

    @classmethod
    def of_site(cls, settings: Settings, keyring: Keyring) -> Judging:
        """From the configuration; reads alias file and templates. Raises ConfigError with every fault."""
        campus = settings.campus
        renderer = Renderer.load(campus, settings.flag, settings.office, keyring, settings.notifier.templates)
        return cls(
            people=People.of_site(campus, settings.identity, keyring),
            rules=settings.policy,
            words=settings.flag,
            renderer=renderer,
            report_address=campus.report_address,
            staff_address=campus.staff_address,
            own_addresses=frozenset({campus.report_address, campus.staff_address}),
        )
