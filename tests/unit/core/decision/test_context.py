"""The decision context of a configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stopit_core.addresses import Canonical
from stopit_core.config import Settings, Smtp
from stopit_core.decision.context import DecisionContext, OwnMail
from stopit_core.envelope import Envelope
from stopit_core.errors import ConfigError
from stopit_core.identity.keys import new_ref
from stopit_core.identity.people import People


class TestReplyAddresses:
    def test_in_any_spelling_that_an_mta_may_give(self, context: DecisionContext) -> None:
        ref = new_ref()
        address = f"stopit+{context.keyring.token(ref)}@campus.example"
        for path in (address, f"<{address}>", f"<{address.upper()}>", f"<@relay.example:{address}>"):
            assert context.ref_of(path) == ref

    @pytest.mark.parametrize(
        "path",
        ["<stopit@campus.example>", "<stopit+@campus.example>", "<stopit+abc@campus.example>", "<>", "", "<\udcff>"],
    )
    def test_others_have_no_ref(self, context: DecisionContext, path: str) -> None:
        assert context.ref_of(path) is None

    def test_a_token_elsewhere_is_none_of_ours(self, context: DecisionContext) -> None:
        token = context.keyring.token(new_ref())
        assert context.ref_of(f"<other+{token}@campus.example>") is None
        assert context.ref_of(f"<stopit+{token}@elsewhere.example>") is None


@pytest.mark.parametrize(
    ("login", "client", "relay", "expected"),
    [
        ("", "127.0.0.1", False, True),
        ("", "::1", False, True),
        ("", "IPv6:::1", False, True),
        ("", "", False, True),
        ("", "192.0.2.25", False, True),
        ("", "192.0.2.66", False, False),
        ("", "192.0.2.66", True, True),
        ("", "unknown", False, False),
        ("notifier", "192.0.2.66", False, True),
        ("mallory", "127.0.0.1", True, False),
    ],
)
def test_where_own_mail_may_come_from(login: str, client: str, relay: bool, expected: bool) -> None:
    smtp = Smtp.model_construct(login="notifier", host="192.0.2.25")
    assert OwnMail.of(smtp).may_send(Envelope(login=login, client=client, relay=relay)) is expected


class CountingCanonical(Canonical):
    """Records every path that it converts."""

    def __init__(self, domains: tuple[str, ...]) -> None:
        super().__init__(domains)
        self.asked: list[str] = []

    def of(self, path: str) -> str:
        self.asked.append(path)
        return super().of(path)


def test_the_staff_address_is_made_canonical_once_and_not_for_each_recipient(context: DecisionContext) -> None:
    canonical = CountingCanonical(("campus.example",))
    counted = replace(context, people=People(canonical, Nobody(), (), context.keyring))
    paths = ["<mallory@campus.example>", "<Staff+x@Campus.example>", "<walt@campus.example>"]
    assert [counted.is_staff(path) for path in paths] == [False, True, False]
    assert canonical.asked == paths


class Nobody:
    """A directory without entries."""

    def address_of(self, login: str) -> str | None:
        return None


def test_every_fault_at_once(settings: Callable[..., Settings], tmp_path: Path) -> None:
    faulty = settings(
        {
            "ledger": {"key_file": tmp_path / "no.key"},
            "identity": {"aliases": tmp_path / "no", "directory": "ldap"},
        }
    )
    with pytest.raises(ConfigError) as caught:
        DecisionContext.of(faulty)
    assert {fault.key for fault in caught.value.faults} >= {"ledger.key_file", "identity.aliases"}
