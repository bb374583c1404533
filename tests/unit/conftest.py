"""A site's settings, a collected message, and the programs that some tests need."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import servers
from stopit_core import config
from stopit_core.config import Settings
from stopit_core.decision.context import DecisionContext
from stopit_core.decision.transaction import Transaction
from stopit_core.envelope import Envelope
from stopit_core.identity.keys import new_key
from stopit_core.mail import Headers

Pairs = Sequence[tuple[str, str | bytes]]

REPLY: Pairs = (
    ("From", "Vera <vera@campus.example>"),
    ("To", "mallory@campus.example"),
    ("Message-ID", "<reply@campus.example>"),
    ("In-Reply-To", "<original@campus.example>"),
    ("Subject", "Re: you"),
)
ORDINARY: Pairs = (
    ("From", "Mallory <mallory@campus.example>"),
    ("Message-ID", "<original@campus.example>"),
    ("Subject", "you"),
)


@pytest.fixture
def tool() -> Callable[[str], str]:
    """Return the path of a program, by name."""
    return servers.program


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., Settings]:
    """The site's settings, with changes by section and key."""
    key = tmp_path / "site.key"
    key.write_text(new_key())

    def make(changes: Mapping[str, Mapping[str, Any]] | None = None) -> Settings:
        values: dict[str, dict[str, Any]] = {
            "campus": {
                "name": "Example Campus",
                "domains": ["campus.example"],
                "report_address": "stopit@campus.example",
                "staff_address": "staff@campus.example",
            },
            "ledger": {"key_file": key},
            "identity": {"trusted_authserv_ids": ["mx.campus.example"], "trusted_relays": ["192.0.2.80"]},
        }
        for section, keys in (changes or {}).items():
            values.setdefault(section, {}).update(keys)
        return config.parse(config.describe(values), "stopit.toml")

    return make


@pytest.fixture
def context_with(settings: Callable[..., Settings]) -> Callable[..., DecisionContext]:
    """The context of the site, with changes of `[milter]` as keywords and of other sections as a mapping."""

    def make(changes: Mapping[str, Mapping[str, Any]] | None = None, **milter: str) -> DecisionContext:
        return DecisionContext.of(settings({**(changes or {}), "milter": milter}))

    return make


@pytest.fixture
def context(context_with: Callable[..., DecisionContext]) -> DecisionContext:
    return context_with()


@pytest.fixture
def transaction() -> Callable[..., Transaction]:
    """A collected message: a member's reply, unless arguments change it."""

    def make(
        fields: Pairs = REPLY,
        body: bytes = b"stopit\r\n",
        recipients: Sequence[str] = ("<Mallory@Campus.Example>",),
        login: str = "vera",
        mail_from: str = "vera@campus.example",
        client: str = "192.0.2.9",
        relay: bool = False,
        truncated: bool = False,
        queue_id: str = "4Xabc",
        at: float = 1000.0,
    ) -> Transaction:
        raw = tuple((name, value if isinstance(value, bytes) else value.encode()) for name, value in fields)
        envelope = Envelope(login, relay, client, mail_from, tuple(recipients), queue_id)
        return Transaction(envelope, raw, Headers(raw), at, body, truncated)

    return make


@pytest.fixture
def reply() -> Pairs:
    return REPLY


@pytest.fixture
def ordinary() -> Pairs:
    return ORDINARY
