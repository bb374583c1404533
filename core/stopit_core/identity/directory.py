"""Map a login to the address of its owner (entry-point group `stopit.directory`).

The MTA reports logins; cases, caps and recipients use addresses. The built-in directory fills in the template of
`identity.login_address`; a site with another rule registers its own package and names it in `identity.directory`.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Protocol

from stopit_core.addresses import is_address
from stopit_core.errors import ConfigError, Fault

__all__ = ["Directory", "TemplateDirectory", "directory_factory"]

GROUP = "stopit.directory"


class Directory(Protocol):
    """Maps logins to addresses. Pure: it is called for every message, so it keeps its data in memory."""

    def address_of(self, login: str) -> str:
        """Return the address of a SASL login as the MTA reports it, "" if there is none."""


class TemplateDirectory:
    """Fills in `{login}@example.edu`; a login that is an address already is returned unchanged."""

    def __init__(self, template: str) -> None:
        self._template = template

    def address_of(self, login: str) -> str:
        if not login:
            return ""
        address = login if "@" in login else self._template.replace("{login}", login)
        return address if is_address(address) else ""


def directory_factory(name: str) -> Callable[[str], Directory]:
    """Return the factory registered as `name`; call it with `identity.login_address`."""
    found = {point.name: point for point in entry_points(group=GROUP)}
    if name not in found:
        advice = f"no such directory is installed; installed: {', '.join(sorted(found)) or 'none'}"
        raise ConfigError([Fault("", "identity.directory", name, advice)])
    factory: Callable[[str], Directory] = found[name].load()
    return factory
