"""The site's key: digests cannot be guessed, and tokens cannot be forged."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopit_core.errors import ConfigError
from stopit_core.identity.keys import KEY_BYTES, Keyring, new_key, new_ref, read_key

RING = Keyring(bytes(range(KEY_BYTES)))
OTHER = Keyring(bytes(KEY_BYTES))
ADDRESS = "vera@example.edu"


def test_digests_never_change_for_a_key() -> None:
    """Stored traces and reply addresses in mailboxes depend on these values."""
    assert RING.message("a@b").hex() == "ba7340def37ff9b12c0af85a331582fb"
    assert RING.address(ADDRESS).hex() == "d153800c3627e2f0"
    assert RING.token("a" * 16) == "a" * 16 + "3kb5buch5g23q3sp"


def test_each_use_has_a_digest_of_its_own() -> None:
    address, log = RING.address(ADDRESS), RING.log(ADDRESS)
    assert not address.hex().startswith(log)
    assert RING.message(ADDRESS)[: len(address)] != address
    assert RING.report_id(ADDRESS)[: len(log)] != log


def test_sizes() -> None:
    assert len(RING.message("x")) == 16
    assert len(RING.address("x")) == 8
    assert len(RING.pair(RING.address("x"), RING.address("y"))) == 8
    assert len(RING.log("x")) == 12
    assert len(RING.report_id("x")) == 32


def test_another_key_makes_other_digests() -> None:
    assert RING.address(ADDRESS) != OTHER.address(ADDRESS)
    assert RING.message(ADDRESS) != OTHER.message(ADDRESS)
    assert RING.log(ADDRESS) != OTHER.log(ADDRESS)


def test_a_pair_has_a_direction() -> None:
    one, other = RING.address("a@x"), RING.address("b@x")
    assert RING.pair(one, other) != RING.pair(other, one)


def test_an_empty_address_has_no_digest_in_the_log() -> None:
    assert RING.log("") == "-"


def test_the_parts_of_a_report_id_stay_apart() -> None:
    assert RING.report_id("ab", "c") != RING.report_id("a", "bc")


@given(st.text(), st.text())
def test_digests_tell_texts_apart(one: str, other: str) -> None:
    assert (RING.message(one) == RING.message(other)) == (one == other)


@given(st.binary(max_size=50))
def test_octets_that_are_no_text_have_a_digest(data: bytes) -> None:
    assert len(RING.message(data.decode("utf-8", "surrogateescape"))) == 16


def test_a_token_opens_at_its_own_site_only() -> None:
    ref = new_ref()
    token = RING.token(ref)
    assert len(token) == 32
    assert RING.open_token(token) == ref
    assert RING.open_token(token.upper()) == ref
    assert OTHER.open_token(token) is None


@given(st.integers(min_value=0, max_value=31), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_a_token_with_another_character_is_none(at: int, character: str) -> None:
    token = RING.token("abcdefghijklmnop")
    changed = token[:at] + character + token[at + 1 :]
    assert RING.open_token(changed) == ("abcdefghijklmnop" if changed == token else None)


@given(st.text(max_size=64))
def test_no_text_opens_by_chance_and_nothing_raises(text: str) -> None:
    assert RING.open_token(text) is None


def test_refs_are_fresh() -> None:
    assert len({new_ref() for _ in range(100)}) == 100


def test_a_key_of_the_wrong_size_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Keyring(b"short")


def test_a_new_key_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "site.key"
    text = new_key()
    path.write_text(f"{text}\n")
    assert read_key(path).address("x") == Keyring(bytes.fromhex(text)).address("x")
    assert new_key() != text


@pytest.mark.parametrize("data", [b"", b"00", b"zz" * 32, b"00" * 33, b"\xff" * 64, b"00" * 31 + b"0"])
def test_a_broken_key_file_says_what_to_do_and_never_shows_the_key(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "site.key"
    path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        read_key(path)
    (fault,) = caught.value.faults
    assert fault.file == str(path)
    assert fault.key == "ledger.key_file"
    assert fault.value == ""


def test_a_missing_key_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="`stopitctl init` creates one"):
        read_key(tmp_path / "site.key")


def test_refs_of_self_tests_are_recognised_under_the_site_s_key_only() -> None:
    ours, others = Keyring(bytes(32)), Keyring(bytes(31) + b"1")
    ref = ours.new_self_test_ref()
    assert len(ref) == len(new_ref())
    assert ours.is_self_test(ref)
    assert not others.is_self_test(ref)
    assert not ours.is_self_test(new_ref())
    assert not ours.is_self_test("no base32!")
    assert ours.open_token(ours.token(ref)) == ref
