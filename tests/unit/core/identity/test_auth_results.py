"""Authentication-Results: only own servers are believed, every form is parsed, and the results are graded."""

from __future__ import annotations

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from stopit_core.identity.auth_results import _passed, _passed_by_authres, grade, read_auth_results
from stopit_core.mail import Headers
from stopit_core.model import Assurance, AuthResults

OWN = ("mx.example.edu", "Mail.Example.edu")


def results_of(*values: str, from_domain: str = "") -> AuthResults:
    return read_auth_results(Headers(("Authentication-Results", value) for value in values), OWN, from_domain)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("mx.example.edu; none", AuthResults()),
        ("mx.example.edu; dkim=pass header.d=Sender.net header.s=s", AuthResults(dkim_domain="sender.net")),
        ("mx.example.edu; dkim=pass header.i=@sender.net", AuthResults(dkim_domain="sender.net")),
        ("mx.example.edu; dkim=fail header.d=sender.net", AuthResults()),
        ("mx.example.edu; spf=pass smtp.mailfrom=x@sender.net", AuthResults(spf_domain="sender.net")),
        ("mx.example.edu; spf=pass smtp.mailfrom=sender.net", AuthResults(spf_domain="sender.net")),
        ("mx.example.edu; spf=softfail smtp.mailfrom=sender.net", AuthResults()),
        ("mx.example.edu; dmarc=pass (p=none dis=none) header.from=sender.net", AuthResults(dmarc_pass=True)),
        ("MAIL.example.edu 1; dmarc=pass header.from=sender.net", AuthResults(dmarc_pass=True)),
        (
            # rspamd
            "mx.example.edu; dkim=pass header.d=sender.net header.s=k header.b=abc;\tdmarc=pass (policy=none) "
            'header.from=sender.net; spf=pass (mx.example.edu: domain of "x@sender.net" designates 192.0.2.1 as '
            "permitted sender) smtp.mailfrom=x@sender.net",
            AuthResults(dmarc_pass=True, dkim_domain="sender.net", spf_domain="sender.net"),
        ),
        (
            # Office 365: a property without a type, a method of its own, and a semicolon at the end
            "mx.example.edu; spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=sender.net; dkim=pass (signature was "
            "verified) header.d=sender.net;dmarc=pass action=none header.from=sender.net;compauth=pass reason=100;",
            AuthResults(dmarc_pass=True, dkim_domain="sender.net", spf_domain="sender.net"),
        ),
        (
            "mx.example.edu; dkim=pass (; spf=pass smtp.mailfrom=evil.net) header.d=sender.net",
            AuthResults(dkim_domain="sender.net"),
        ),
        (
            'mx.example.edu; dkim=pass reason="; dmarc=pass" header.d=sender.net',
            AuthResults(dkim_domain="sender.net"),
        ),
        ("mx.example.edu; " + "(" * 3000 + "; dmarc=pass header.from=sender.net", AuthResults()),
        ("other.example.net; dmarc=pass header.from=sender.net", AuthResults()),
        ("mx.example.edu.evil.net; dmarc=pass header.from=sender.net", AuthResults()),
        ("", AuthResults()),
        (";;;", AuthResults()),
    ],
)
def test_one_header(value: str, expected: AuthResults) -> None:
    assert results_of(value) == expected


def test_only_the_topmost_own_header_counts() -> None:
    forged = "mx.example.edu; dmarc=pass header.from=bank.example"

    assert results_of("mx.example.edu; spf=fail smtp.mailfrom=x", forged) == AuthResults()
    assert results_of("other.net; spf=pass smtp.mailfrom=x.net", forged) == AuthResults(dmarc_pass=True)


def test_a_site_that_names_no_servers_believes_none() -> None:
    headers = Headers([("Authentication-Results", "mx.example.edu; dmarc=pass header.from=sender.net")])

    assert read_auth_results(headers, ()) == AuthResults()


def test_the_aligned_signature_is_taken() -> None:
    two = "mx.example.edu; dkim=pass header.d=bulk.net; dkim=pass header.d=mail.sender.net"

    assert results_of(two).dkim_domain == "bulk.net"
    assert results_of(two, from_domain="sender.net").dkim_domain == "mail.sender.net"


def test_dmarc_counts_for_the_from_that_it_passed_for() -> None:
    value = "mx.example.edu; dmarc=pass header.from=sender.net"

    assert results_of(value, from_domain="Sender.net").dmarc_pass
    assert not results_of(value, from_domain="bank.example").dmarc_pass


@pytest.mark.parametrize(
    ("found", "header_from", "assurance"),
    [
        (AuthResults(dmarc_pass=True), "x@sender.net", Assurance.VERIFIED),
        (AuthResults(dkim_domain="sender.net"), "x@sender.net", Assurance.VERIFIED),
        (AuthResults(dkim_domain="mail.sender.net"), "x@sender.net", Assurance.VERIFIED),
        (AuthResults(dkim_domain="sender.net"), "x@mail.sender.net", Assurance.VERIFIED),
        (AuthResults(dkim_domain="bulk.net"), "x@sender.net", Assurance.UNVERIFIED),
        (AuthResults(dkim_domain="evilsender.net"), "x@sender.net", Assurance.UNVERIFIED),
        (AuthResults(dkim_domain="net"), "x@sender.net", Assurance.UNVERIFIED),
        (AuthResults(spf_domain="sender.net"), "x@sender.net", Assurance.WEAK),
        (AuthResults(spf_domain="bulk.net"), "x@sender.net", Assurance.UNVERIFIED),
        (AuthResults(dkim_domain="bulk.net", spf_domain="sender.net"), "x@sender.net", Assurance.WEAK),
        (AuthResults(), "x@sender.net", Assurance.UNVERIFIED),
        (AuthResults(dmarc_pass=True), "", Assurance.UNVERIFIED),
    ],
)
def test_grades(found: AuthResults, header_from: str, assurance: Assurance) -> None:
    assert grade(found, header_from) is assurance


@given(st.text(alphabet=st.sampled_from('dkim=pas;() "\\.@/=\u00e9fromhed'), max_size=200))
def test_hostile_values_never_raise(value: str) -> None:
    assert isinstance(results_of(f"mx.example.edu; {value}"), AuthResults)
    assert isinstance(results_of(value), AuthResults)


WORDS = st.sampled_from(
    [
        "(p=none dis=none)",
        "(2048-bit key; unprotected)",
        "()",
        "header.d=x.org",
        "header.i=@x.org",
        "header.b=Ab/c+1=",
        "header.from=x.org",
        "smtp.mailfrom=a=b@x.org",
        "smtp.mailfrom=X.Org",
        "smtp.helo=1.2",
        "policy.d=-x..org",
        "HEADER.D=_x.y",
        "header.s=k",
        "header.i=a@b@c",
        "header.d=",
        "header.d",
        "body.x=/",
    ]
)


@given(
    method=st.sampled_from(["dkim", "DKIM", "spf", "dmarc", "arc", "iprev", "x", "dkim/1"]),
    result=st.sampled_from(["pass", "PASS", "fail", "none", "passx", ""]),
    words=st.lists(WORDS, max_size=5),
)
def test_the_plain_form_is_read_as_authres_reads_it(method: str, result: str, words: list[str]) -> None:
    resinfo = "  ".join([f"{method}={result}", *words])
    # authres gives up on a fourth comment in a row, and after a property on the third; RFC 8601 allows any number.
    assume(not re.search(r"(\([^)]*\)\s*){3}", resinfo))
    assert list(_passed(f"own; {resinfo}")) == list(_passed_by_authres(resinfo))


def test_comments_in_a_row_hide_no_result() -> None:
    assert results_of(f"mx.example.edu; dkim=pass {'(p=none dis=none) ' * 4}header.d=x.org").dkim_domain == "x.org"
