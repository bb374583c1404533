"""Identification of the sender: every way in which the traces in the ledger can mislead."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopit_core.addresses import Canonical
from stopit_core.decision.identify import Finding, identify
from stopit_core.identity.directory import TemplateDirectory
from stopit_core.identity.keys import Keyring
from stopit_core.identity.people import People
from stopit_core.model import Assurance, AuthResults, Digest, Original, Trace
from stopit_core.stores.ledger import MAX_PASSES

KEYRING = Keyring(b"k" * 32)
PEOPLE = People(
    Canonical(["campus.example"], {"v.v@campus.example": "vera@campus.example"}),
    TemplateDirectory("{login}@campus.example"),
    ["192.0.2.0/24"],
    KEYRING,
)
MESSAGE = KEYRING.message("one@campus.example")
ORIGINAL = Original(MESSAGE)
VERA, WALT = "vera@campus.example", "walt@campus.example"


def trace(*recipients: str, **values: object) -> Trace:
    values = {"seen": 100.0, "login": "mallory", "header_from": "mallory@campus.example", **values}
    return Trace(
        MESSAGE,
        recipient_count=len(recipients),
        recipients=b"".join(PEOPLE.digest(PEOPLE.canonical.of(each)) for each in recipients),
        **values,  # type: ignore[arg-type]
    )


def from_outside(*recipients: str, **values: object) -> Trace:
    return trace(*recipients, **{"login": "", "mail_from": "x@elsewhere.example", **values})


def test_the_login_names_the_sender_whatever_from_says() -> None:
    found = identify(ORIGINAL, [trace(VERA, WALT, header_from="bob@campus.example")], VERA, PEOPLE)
    assert found.finding is Finding.IDENTIFIED
    assert found.sender.address == "mallory@campus.example"
    assert found.sender.assurance is Assurance.AUTHENTICATED
    assert found.recipients == 2


def test_a_member_is_recognised_under_an_alias_and_a_tag() -> None:
    assert identify(ORIGINAL, [trace("V.V+lists@Campus.Example")], VERA, PEOPLE).finding is Finding.IDENTIFIED


@pytest.mark.parametrize(
    ("original", "traces", "reporter", "finding"),
    [
        (Original(Digest(b"")), [trace(VERA)], VERA, Finding.NO_ORIGINAL),
        (Original(MESSAGE, ambiguous=True), [trace(VERA)], VERA, Finding.AMBIGUOUS),
        (ORIGINAL, [], VERA, Finding.NO_TRACE),
        (ORIGINAL, [trace(VERA)], "eve@campus.example", Finding.NOT_RECEIVED),
        (ORIGINAL, [trace(VERA)], "", Finding.NOT_RECEIVED),
        (ORIGINAL, [trace(VERA, own=True)], VERA, Finding.OWN_SERVICE),
        (ORIGINAL, [trace(VERA, own=True), trace(VERA)], VERA, Finding.AMBIGUOUS),
        (ORIGINAL, [trace(VERA), trace(WALT, login="bob")], VERA, Finding.AMBIGUOUS),
        (ORIGINAL, [trace(WALT, login="bob"), from_outside(VERA)], VERA, Finding.AMBIGUOUS),
        (ORIGINAL, [from_outside(VERA, header_from="")], VERA, Finding.AMBIGUOUS),
        (ORIGINAL, [trace(VERA, login="no such@login here")], VERA, Finding.AMBIGUOUS),
        (ORIGINAL, [trace(VERA)] * MAX_PASSES, VERA, Finding.AMBIGUOUS),
    ],
)
def test_what_cannot_be_told(original: Original, traces: list[Trace], reporter: str, finding: Finding) -> None:
    found = identify(original, traces, reporter, PEOPLE)
    assert found.finding is finding
    if finding is Finding.AMBIGUOUS:
        assert found.sender.address == ""


def test_the_least_sure_copy_that_the_reporter_received_counts() -> None:
    """A forged copy from outside in mallory's name: the login of the other copy does not make it sure."""
    found = identify(ORIGINAL, [trace(VERA), from_outside(VERA)], VERA, PEOPLE)
    assert found.sender.assurance is Assurance.UNVERIFIED


def test_a_copy_for_others_does_not_make_the_reporters_copy_less_sure() -> None:
    found = identify(ORIGINAL, [trace(VERA), from_outside(WALT)], VERA, PEOPLE)
    assert found.sender.assurance is Assurance.AUTHENTICATED


def test_results_of_own_servers_and_the_login_of_a_relay_count() -> None:
    verified = from_outside(VERA, header_from="eve@elsewhere.example", auth_results=AuthResults(dmarc_pass=True))
    assert identify(ORIGINAL, [verified], VERA, PEOPLE).sender.assurance is Assurance.VERIFIED
    relayed = from_outside(VERA, relay=True, mail_from="mallory@campus.example", header_from="bob@campus.example")
    found = identify(ORIGINAL, [relayed], VERA, PEOPLE)
    assert (found.sender.address, found.sender.assurance) == ("mallory@campus.example", Assurance.VERIFIED)


def test_a_message_sent_again_is_as_new_as_its_latest_pass_to_the_reporter() -> None:
    found = identify(
        ORIGINAL, [trace(VERA, seen=100.0), trace(VERA, seen=900.0), trace(WALT, seen=950.0)], VERA, PEOPLE
    )
    assert found.sent_at == 900.0
    assert found.recipients == 2


LOGINS = st.sampled_from(["", "mallory", "bob", "vera"])
FROMS = st.sampled_from(["", "mallory@campus.example", "bob@campus.example", "x@elsewhere.example"])


@given(
    st.lists(
        st.builds(
            lambda login, header_from, to, relay, dmarc: trace(
                *to,
                login=login,
                header_from=header_from,
                relay=relay,
                mail_from=header_from,
                auth_results=AuthResults(dmarc),
            ),
            LOGINS,
            FROMS,
            st.lists(st.sampled_from([VERA, WALT]), max_size=2),
            st.booleans(),
            st.booleans(),
        ),
        max_size=5,
    )
)
def test_an_authenticated_sender_is_one_who_logged_in_and_wrote_to_the_reporter(traces: list[Trace]) -> None:
    found = identify(ORIGINAL, traces, VERA, PEOPLE)
    if found.finding is Finding.IDENTIFIED and found.sender.assurance is Assurance.AUTHENTICATED:
        login = found.sender.address.partition("@")[0]
        reached = [each for each in traces if each.received_by(PEOPLE.digest(VERA))]
        assert reached
        assert all(each.login == login for each in reached)
        assert not any(each.login and each.login != login for each in traces)
