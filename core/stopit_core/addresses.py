"""Addresses: from what an envelope or header holds to the one canonical form that is compared and digested.

Two spellings of one mailbox must come out the same, or a reporter is not recognised as a recipient; two
mailboxes must never come out the same, or somebody else gets the notice. So: case is folded (local parts too:
no campus gives `Vera` and `vera` to two people), the domain is put in its A-label form (RFC 5890), a +tag is
taken off for the campus's own domains only, and the alias file has the last word. Nothing raises: what is no
address comes out as "".
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
    """The addr-spec in an SMTP path: no angle brackets, no source route (RFC 5321 section 4.1.2)."""
    inner = path.strip()
    if inner.startswith("<") and inner.endswith(">"):
        inner = inner[1:-1].strip()
    if inner.startswith("@") and ":" in inner:
        inner = inner.split(":", 1)[1]
    return inner


def domain_of(address: str) -> str:
    """The domain of an address, "" when it has none."""
    return address.rpartition("@")[2] if "@" in address else ""


def is_address(text: str) -> bool:
    """Whether a canonical form is one address that mail can be sent to: one @, ASCII domain, nothing odd."""
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
    """Makes addresses canonical, by a campus's domains and its alias file.

    `domains`: the campus's own, first one the default for an address without a domain. `aliases`: address to
    primary address, both canonical but for the alias itself.
    """

    def __init__(self, domains: Iterable[str], aliases: Mapping[str, str] | None = None) -> None:
        self.domains = tuple(_domain(domain) for domain in domains)
        self._aliases = dict(aliases or {})

    def of(self, path: str) -> str:
        """The canonical form of an envelope path or header address; "" when it is no usable address."""
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

    def is_local(self, address: str) -> bool:
        """Whether a canonical address is in one of the campus's own domains."""
        return domain_of(address) in self.domains


def read_aliases(path: Path, domains: Iterable[str]) -> dict[str, str]:
    """The alias file: `address: primary address`, one a line, `#` begins a comment. Names every faulty line."""
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
            faults.append(Fault(f"{path}:{number}", key, text, f"{alias} already stands for {aliases[alias]}"))
        else:
            aliases[alias] = primary
    if faults:
        raise ConfigError(faults)
    return {alias: _follow(aliases, primary) for alias, primary in aliases.items()}


def _follow(aliases: Mapping[str, str], address: str) -> str:
    """The end of a chain of aliases; where the chain is a ring, the place where it closes."""
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
