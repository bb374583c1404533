"""Map logins to addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopit_core.addresses import is_address
from stopit_core.errors import ConfigError
from stopit_core.identity.directory import TemplateDirectory, directory_factory

DIRECTORY = TemplateDirectory("{login}@example.edu")


@pytest.mark.parametrize(
    ("login", "address"),
    [
        ("vera", "vera@example.edu"),
        ("vera@other.example", "vera@other.example"),
        ("", ""),
        ("two words", ""),
        ("vera@", ""),
        ("{login}", "{login}@example.edu"),
        ("a\nb", ""),
    ],
)
def test_a_login_has_an_address_or_none(login: str, address: str) -> None:
    assert DIRECTORY.address_of(login) == address


@given(st.text(max_size=400))
def test_no_login_makes_anything_but_an_address(login: str) -> None:
    address = DIRECTORY.address_of(login)
    assert address == "" or is_address(address)


def test_the_built_in_one_is_registered_as_a_plug_in() -> None:
    assert directory_factory("template")("{login}@example.edu").address_of("vera") == "vera@example.edu"


def test_an_unknown_one_is_named_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError) as caught:
        directory_factory("ldap")
    assert str(caught.value) == "identity.directory = ldap: no such directory is installed; installed: template"
