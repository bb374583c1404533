"""The form of log lines, and what they must not contain."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopit_core.daemon.logs import without_addresses
from stopit_core.identity.keys import Keyring

KEYRING = Keyring(b"k" * 32)
ATOM = st.text("abcXYZ019!#$%&'*+/=?^_`{|}~.-", min_size=1, max_size=12).filter(lambda text: text.strip("'") == text)


@pytest.mark.parametrize("address", ["vera@campus.example", "o'brien@campus.example", "a.b+c@x.example"])
@pytest.mark.parametrize("around", ["550 <{}>: no such user", "KeyError: '{}'", '["{}", 2]', "to {};", "{}"])
def test_an_address_stands_as_its_digest(address: str, around: str) -> None:
    assert without_addresses(around.format(address), KEYRING) == around.format(KEYRING.log(address))


@given(
    local=ATOM,
    before=st.sampled_from(["", "<", " ", "'", "b'", '"', "(", "to=", "x: "]),
    after=st.sampled_from(["", ">", "' ", '"']),
)
def test_no_address_is_left(local: str, before: str, after: str) -> None:
    said = without_addresses(f"{before}{local}@campus.example{after}", KEYRING)

    left = said.removeprefix(before).removesuffix(after)
    assert re.fullmatch("[0-9a-f]{12}", left[-12:])
    assert left[:-12] in ("", before)


def test_the_rest_stays() -> None:
    assert without_addresses("451 4.7.1 Service unavailable", KEYRING) == "451 4.7.1 Service unavailable"
