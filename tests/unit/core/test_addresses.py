"""Canonical addresses: equal for two spellings of one mailbox, different for two mailboxes, and nothing raises."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopit_core.addresses import Canonical, bare, domain_of, is_address, read_aliases
from stopit_core.errors import ConfigError

DOMAINS = ("example.edu", "alumni.example.edu")
CANONICAL = Canonical(DOMAINS)


@pytest.mark.parametrize(
    ("spelling", "expected"),
    [
        ("vera@example.edu", "vera@example.edu"),
        ("<vera@example.edu>", "vera@example.edu"),
        (" <Vera@EXAMPLE.edu> ", "vera@example.edu"),
        ("vera@example.edu.", "vera@example.edu"),
        ("<@relay.example,@b.example:vera@example.edu>", "vera@example.edu"),
        ("vera+lists@example.edu", "vera@example.edu"),
        ("vera+a+b@alumni.example.edu", "vera@alumni.example.edu"),
        ("+tag@example.edu", "+tag@example.edu"),
        ('"vera"@example.edu', "vera@example.edu"),
        ('"ver\\a"@example.edu', "vera@example.edu"),
        ("vera", "vera@example.edu"),
        ("ＶＥＲＡ@example.edu", "vera@example.edu"),
        ("straße@example.edu", "strasse@example.edu"),
        ("vera@BÜCHER.example", "vera@xn--bcher-kva.example"),
        ("vera@xn--bcher-kva.example", "vera@xn--bcher-kva.example"),
        ("vera+kept@elsewhere.example", "vera+kept@elsewhere.example"),
    ],
)
def test_one_mailbox_has_one_form(spelling: str, expected: str) -> None:
    assert CANONICAL.of(spelling) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<>",
        "@",
        "@example.edu",
        "vera@",
        "a@b@example.edu",
        "vera @example.edu",
        "vera@exa mple.edu",
        "vera\n@example.edu",
        "vera\0@example.edu",
        "vera@example..edu",
        "vera@.example.edu",
        "vera@-example.edu",
        "a,b@example.edu",
        "vera<x@example.edu",
        '"a b"@example.edu',
        "vera@\udcff.example",
        "x" * 330 + "@example.edu",
    ],
)
def test_what_is_no_address_is_nothing(text: str) -> None:
    assert CANONICAL.of(text) == ""


def test_a_campus_with_no_domain_completes_nothing() -> None:
    assert Canonical(()).of("vera") == ""


def test_the_alias_file_has_the_last_word() -> None:
    canonical = Canonical(DOMAINS, {"v.smith@example.edu": "vera@example.edu", "x+y@example.edu": "walt@example.edu"})
    assert canonical.of("V.Smith@example.edu") == "vera@example.edu"
    assert canonical.of("v.smith+tag@example.edu") == "vera@example.edu"
    assert canonical.of("x+y@example.edu") == "walt@example.edu"
    assert canonical.of("x+z@example.edu") == "x@example.edu"


def test_parts() -> None:
    assert bare("<@a,@b:vera@example.edu>") == "vera@example.edu"
    assert bare("@vera") == "@vera"
    assert domain_of("a@b@example.edu") == "example.edu"
    assert domain_of("vera") == ""


@given(st.text(max_size=400))
def test_nothing_raises_and_what_comes_out_is_an_address_that_stays(text: str) -> None:
    once = CANONICAL.of(text)
    assert once == "" or (is_address(once) and CANONICAL.of(once) == once)


_locals = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True)


@given(_locals, _locals)
def test_two_mailboxes_never_come_out_the_same(one: str, other: str) -> None:
    same = CANONICAL.of(f"{one}@example.edu") == CANONICAL.of(f"{other}@example.edu")
    assert same == (one == other)


@given(_locals, st.from_regex(r"[A-Za-z0-9+]{1,20}", fullmatch=True), st.randoms(use_true_random=False))
def test_case_and_tag_make_no_difference_at_home(local: str, tag: str, random: object) -> None:
    mixed = "".join(c.upper() if random.random() < 0.5 else c for c in local)  # type: ignore[attr-defined]
    assert CANONICAL.of(f"<{mixed}+{tag}@Example.Edu>") == f"{local}@example.edu"
    assert CANONICAL.of(f"{local}+{tag.lower()}@elsewhere.example") == f"{local}+{tag.lower()}@elsewhere.example"


def write(directory: Path, text: str) -> Path:
    path = directory / "aliases"
    path.write_text(text, "utf-8")
    return path


def test_an_alias_file_is_read(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "# members with several addresses\n\n"
        "V.Smith@Example.edu: vera@example.edu  # since 2024\n"
        "vs: v.smith@example.edu\n"
        "v.smith@example.edu: vera@example.edu\n",
    )
    assert read_aliases(path, DOMAINS) == {
        "v.smith@example.edu": "vera@example.edu",
        "vs@example.edu": "vera@example.edu",
    }


def test_a_ring_of_aliases_comes_to_an_end(tmp_path: Path) -> None:
    path = write(tmp_path, "a: b\nb: c\nc: a\n")
    aliases = read_aliases(path, DOMAINS)
    assert set(aliases) == {"a@example.edu", "b@example.edu", "c@example.edu"}
    assert set(aliases.values()) <= set(aliases)


def test_every_faulty_line_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "a: b\nnonsense\nc: two words\na: d\n: e\nf:\n")
    with pytest.raises(ConfigError) as caught:
        read_aliases(path, DOMAINS)
    assert [str(fault) for fault in caught.value.faults] == [
        f"{path}:2: identity.aliases = nonsense: must be `address: primary address`",
        f"{path}:3: identity.aliases = c: two words: must be `address: primary address`",
        f"{path}:4: identity.aliases = a: d: a@example.edu already has the primary address b@example.edu",
        f"{path}:5: identity.aliases = : e: must be `address: primary address`",
        f"{path}:6: identity.aliases = f:: must be `address: primary address`",
    ]


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.write_bytes(b"\xff\xfe"), Path.mkdir])
def test_an_alias_file_that_cannot_be_read_is_a_fault(tmp_path: Path, make: object) -> None:
    path = tmp_path / "aliases"
    make(path)  # type: ignore[operator]
    with pytest.raises(ConfigError, match="cannot be read"):
        read_aliases(path, DOMAINS)


@given(st.binary(max_size=300))
def test_no_alias_file_brings_anything_but_a_config_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "hostile-aliases"
    path.write_bytes(data)
    try:
        aliases = read_aliases(path, DOMAINS)
    except ConfigError:
        return
    assert all(is_address(address) for pair in aliases.items() for address in pair)
