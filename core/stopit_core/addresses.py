"""Convert addresses from envelopes and headers to one canonical form, which is compared and digested.

Two spellings of one mailbox must give the same form, or a reporter is not recognised as a recipient. Two mailboxes
must never give the same form, or the wrong person gets the notice. Therefore case is folded (in local parts too: no
campus gives `Vera` and `vera` to two people), the domain is converted to its A-label form (RFC 5890), a +tag is
removed for the campus's own domains only, and the alias file is applied last. Nothing here raises on bad input: the
form of a string that is no address is "".
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path

import idna

from stopit_core.errors import ConfigError, Fault

__all__ = ["Canonical", "bare", "domain_of", "is_address", "read_aliases"]

MAX_ADDRESS = 320
_DELIMITER = "+"


def bare(path: str) -> str:
    """Return the addr-spec in an SMTP path: no angle brackets, no source route (RFC 5321 section 4.1.2)."""
    inner = path.strip()
    if inner.startswith("<") and inner.endswith(">"):
        inner = inner[1:-1].strip()
    if inner.startswith("@") and ":" in inner:
        inner = inner.split(":", 1)[1]
    return inner


def domain_of(address: str) -> str:
    """Return the domain of an address, "" if it has none."""
    return address.rpartition("@")[2] if "@" in address else ""


def is_address(text: str) -> bool:
    """Return whether a canonical form is one address that mail can be sent to: one @, ASCII domain, no special
    characters."""
    local, at, domain = text.rpartition("@")
    return bool(
        at
        and local
        and domain
        and len(text) <= MAX_ADDRESS
        and "@" not in local
        and all(c.isprintable() and not c.isspace() and c not in '<>,;:"\\()[]' for c in text)
        and domain.isascii()
        and not domain.startswith((".", "-"))
        and not domain.endswith((".", "-"))
        and ".." not in domain
    )


class Canonical:
    """Converts addresses to their canonical form, using the campus's domains and its alias file.

    `domains` are the campus's own; the first one completes an address without a domain. `aliases` maps an address to
    its primary address; both are canonical except for the alias mapping itself.
    """

    def __init__(self, domains: Iterable[str], aliases: Mapping[str, str] | None = None) -> None:
        self.domains = tuple(_domain(domain) for domain in domains)
        self._aliases = dict(aliases or {})

    def of(self, path: str) -> str:
        """Return the canonical form of an envelope path or header address; "" if it is no usable address."""
        address = bare(path)
        if not address or len(address) > MAX_ADDRESS:
            return ""
        local, at, domain = address.rpartition("@")
        if not at:
            local, domain = address, self.domains[0] if self.domains else ""
        if len(local) >= 2 and local.startswith('"') and local.endswith('"'):
            local = local[1:-1].replace("\\", "")
        local = unicodedata.normalize("NFKC", local).casefold()
        domain = _domain(domain)
        full = f"{local}@{domain}"
        if not is_address(full):
            return ""
        if full in self._aliases:
            return self._aliases[full]
        if domain in self.domains:
            local = local.split(_DELIMITER, 1)[0] or local
        plain = f"{local}@{domain}"
        return self._aliases.get(plain, plain)


def read_aliases(path: Path, domains: Iterable[str]) -> dict[str, str]:
    """Read the alias file: one `address: primary address` per line, `#` begins a comment. Raises ConfigError with
    every faulty line."""
    key = "identity.aliases"
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Fault(str(path), key, "", f"cannot be read: {error}")]) from error
    canonical = Canonical(domains)
    aliases: dict[str, str] = {}
    faults = []
    for number, line in enumerate(lines, 1):
        text = line.split("#", 1)[0].strip()
        if not text:
            continue
        left, colon, right = text.partition(":")
        alias, primary = canonical.of(left), canonical.of(right)
        if not (colon and alias and primary):
            faults.append(Fault(f"{path}:{number}", key, text, "must be `address: primary address`"))
        elif aliases.get(alias, primary) != primary:
            faults.append(
                Fault(f"{path}:{number}", key, text, f"{alias} already has the primary address {aliases[alias]}")
            )
        else:
            aliases[alias] = primary
    if faults:
        raise ConfigError(faults)
    return {alias: _follow(aliases, primary) for alias, primary in aliases.items()}


def _follow(aliases: Mapping[str, str], address: str) -> str:
    """Return the end of a chain of aliases; for a ring, the address at which it closes."""
    seen = {address}
    while (following := aliases.get(address, address)) not in seen:
        seen.add(following)
        address = following
    return address


def _domain(domain: str) -> str:
    folded = domain.strip().rstrip(".").casefold()
    if folded.isascii():
        return folded
    try:
        return idna.encode(folded, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return ""
