"""Messages that must never be sent: not entirely ours, or revealing a reporter to a sender."""

from __future__ import annotations

import base64
import quopri
from dataclasses import replace
from datetime import date
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stopit_core.config import Campus, FlagWords, Office
from stopit_core.decision.policy import Reason
from stopit_core.identity.keys import Keyring
from stopit_core.outgoing.facts import AlertKind, NoticeFacts, Outgoing
from stopit_core.outgoing.leak_check import Leak, Malformed, check_message, check_nothing_of
from stopit_core.outgoing.render import Renderer
from stopit_core.outgoing.samples import SAMPLE_AT, SAMPLE_REF, acknowledgement, alert
from stopit_core.outgoing.templates import environment

CAMPUS = Campus(
    name="May University",
    domains=("example.edu",),
    report_address="stopit@example.edu",
    staff_address="stopit-staff@example.edu",
    policy_url="https://www.example.edu/stopit",
)
OFFICE = Office(name="Ombuds Office", address="ombuds@example.edu", about="Confidential advice, for everyone.")
RENDERER = Renderer.load(CAMPUS, FlagWords(), (OFFICE,), Keyring(b"k" * 32), zone=ZoneInfo("Europe/Vienna"))
FACTS = NoticeFacts("7KQ4-M2XD", date(2026, 5, 3))
NOTICE = RENDERER.render(FACTS, recipient="olivera@example.edu", ref=SAMPLE_REF, at=SAMPLE_AT)
BLANK = RENDERER.blank(FACTS, SAMPLE_AT)
REPORTER = ("vera@example.edu", "<original.17@mua.example.edu>", "canary-9@mua.example.edu", "Vera Weiß")


def altered(old: bytes, new: bytes) -> Outgoing:
    assert NOTICE.data.count(old) >= 1
    return replace(NOTICE, data=NOTICE.data.replace(old, new, 1))


def saying(words: bytes) -> Outgoing:
    return altered(b"Hello,", words)


class TestMessage:
    def test_ours_passes(self) -> None:
        check_message(NOTICE)

    def test_a_folded_head_passes(self) -> None:
        campus = CAMPUS.model_copy(update={"name": "Ü" * 90})
        renderer = Renderer(environment(None), campus, FlagWords(), (), Keyring(b"k" * 32))
        notice = renderer.render(FACTS, recipient="olivera@example.edu", ref=SAMPLE_REF, at=SAMPLE_AT)
        assert b"\r\n =?utf-8?" in notice.data
        check_message(notice)

    @pytest.mark.parametrize(
        ("old", "new", "what"),
        [
            (b"Subject:", b"Bcc: eve@example.edu\r\nSubject:", "headers"),
            (b"Subject:", b"To: eve@example.edu\r\nSubject:", "headers"),
            (b"Subject:", b"In-Reply-To: <x@example.edu>\r\nSubject:", "headers"),
            (b"X-Auto-Response-Suppress: All\r\n", b"", "headers"),
            (b"Subject:", b"subject:", "headers"),
            (b"\r\nSubject:", b"\r\n\r\nSubject:", "headers"),
            (b"Subject:", b" \r\nSubject:", "headers"),
            (b"Subject: A", b"Subject: A\nBcc: eve@example.edu\r\n A", "CRLF"),
            (b"Subject: A", b"Subject: A\rBcc: eve@example.edu\r\n A", "CRLF"),
            (b"Hello", b"\r.\rHello", "CRLF"),
            (b"Hello", b"Hell\0", "ASCII"),
            (b"Hello", "Hallö".encode(), "ASCII"),
            (b"Hello", b"H" * 1000, "too long"),
            (b"To: <olivera@", b"To: <vera@", "recipient"),
            (b"To: <olivera@example.edu>", b"To: <olivera@example.edu>, eve@example.edu", "recipient"),
            (b"To: <olivera@example.edu>", b"To: <olivera@example.edu> (vera)", "recipient"),
            (b"To: <olivera@", b"To:  <olivera@", "recipient"),
            (b"To: <olivera@", b"To: \x01<olivera@", "control"),
            (b"Subject: A", b"Subject: A\x1b[2J", "control"),
            (b"Reply-To: <stopit+", b"Reply-To: <stopit-", "its Reply-To is not the envelope sender"),
            (b"From: May University Stopit <", b"From: eve@example.edu, May <", "its From is not one address"),
            (b"Message-ID: <stopit.", b"Message-ID: <other.", "Message-ID"),
            (b"Date: Tue", b"Date: Someday", "date"),
            (b"auto-generated", b"no", "Auto-Submitted"),
            (b"text/plain", b"text/html", "Content-Type"),
            (b"text/plain; charset=utf-8; format=flowed", b'multipart/mixed; boundary="x"', "parts"),
            (b": 7bit", b": base64", "Content-Transfer-Encoding"),
        ],
    )
    def test_anything_else_does_not(self, old: bytes, new: bytes, what: str) -> None:
        with pytest.raises(Malformed, match=what):
            check_message(altered(old, new))

    def test_the_envelope_decides(self) -> None:
        with pytest.raises(Malformed, match="recipient"):
            check_message(replace(NOTICE, recipient="eve@example.edu"))

    def test_message_that_many_get_is_checked_for_each(self) -> None:
        """The same message to other recipients passes; the parts that differ are always checked."""
        other = replace(altered(b"To: <olivera@", b"To: <walt@"), recipient="walt@example.edu")
        check_message(NOTICE)
        check_message(other)
        for wrong in (
            replace(other, recipient="olivera@example.edu"),
            replace(other, envelope_from="eve@example.edu"),
            replace(other, message_id="other@example.edu"),
            replace(
                other, data=other.data.replace(b"To: <walt@example.edu>", b"To: <walt@example.edu>, <eve@x.edu>")
            ),
            replace(other, data=other.data.replace(b"Hello,", b"Hello,\n"), recipient="walt@example.edu"),
        ):
            with pytest.raises(Malformed):
                check_message(wrong)

    @pytest.mark.parametrize(
        "recipient", ['"a b"@example.edu', "a@[192.0.2.1]", "ä@example.edu", "a..b@example.edu", "a"]
    )
    def test_message_with_an_unusual_address_is_checked_whole(self, recipient: str) -> None:
        """If an address could be parsed in two ways, the whole message is checked with that address."""
        data = NOTICE.data.replace(b"<olivera@example.edu>", f"<{recipient}>".encode())
        check = replace(NOTICE, data=data, recipient=recipient)
        if recipient.isascii():
            check_message(check)
        else:
            with pytest.raises(Malformed, match="ASCII"):
                check_message(check)

    def test_the_last_line_is_ended(self) -> None:
        with pytest.raises(Malformed, match="ended"):
            check_message(replace(NOTICE, data=NOTICE.data.removesuffix(b"\r\n")))

    @settings(max_examples=200)
    @given(at=st.integers(0, len(NOTICE.data)), junk=st.binary(min_size=1, max_size=60))
    def test_no_junk_makes_it_fail_otherwise(self, at: int, junk: bytes) -> None:
        outgoing = replace(NOTICE, data=NOTICE.data[:at] + junk + NOTICE.data[at:])
        try:
            check_message(outgoing)
            check_nothing_of(outgoing, REPORTER, BLANK)
        except (Malformed, Leak):
            pass
        else:
            head = outgoing.data.partition(b"\r\n\r\n")[0]
            assert head.count(b"\r\nTo: <olivera@example.edu>\r\n") == 1
            assert b"vera" not in head.replace(b"olivera@example.edu", b"")


class TestNothingOf:
    def test_ours_passes(self) -> None:
        check_nothing_of(NOTICE, REPORTER, BLANK)

    @pytest.mark.parametrize(
        "words",
        [
            b"vera@example.edu",
            b"VERA@Example.EDU",
            b"Vera wrote:",
            b"=?utf-8?q?x?= vera",
            b"original.17@mua.example.edu",
            b"<canary-9@mua.example.edu>",
            b"canary-9@mua. \r\nexample.edu",
            b"canary-9@\r\nmua.example.edu",
            b"weiss: VERA  WEISS",
            b"xvera@example.edu",
        ],
    )
    def test_finds_it_in_the_text(self, words: bytes) -> None:
        with pytest.raises(Leak):
            check_nothing_of(saying(words), REPORTER, BLANK)

    @pytest.mark.parametrize(
        "header",
        [
            b"Subject: about vera@example.edu",
            b"Subject: =?utf-8?b?" + base64.b64encode(b"about vera@example.edu") + b"?=",
            b"Subject: =?utf-8?q?about_=76era=40example=2Eedu?=",
            b"Subject: =?no-such-charset?q?=76era=40example=2Eedu?= vera@example.edu",
            b"References: <original.17@mua.example.edu>\r\nSubject: x",
            b"Subject: vera@\r\n example.edu",
        ],
    )
    def test_finds_it_in_the_head(self, header: bytes) -> None:
        with pytest.raises(Leak):
            check_nothing_of(altered(b"Subject: A report about mail from your account", header), REPORTER, BLANK)

    def test_finds_it_behind_an_encoding(self) -> None:
        head, _, body = NOTICE.data.replace(b": 7bit", b": quoted-printable").partition(b"\r\n\r\n")
        hidden = quopri.encodestring(body.replace(b"Hello,", b"**")).replace(b"**", b"=76=65ra=40example.edu")
        with pytest.raises(Leak):
            check_nothing_of(replace(NOTICE, data=head + b"\r\n\r\n" + hidden), REPORTER, BLANK)

    def test_the_error_does_not_tell_either(self) -> None:
        with pytest.raises(Leak) as caught:
            check_nothing_of(saying(b"vera@example.edu"), REPORTER, BLANK)
        assert "vera" not in str(caught.value)

    def test_a_message_to_the_wrong_person(self) -> None:
        for facts in (acknowledgement(Reason.NOTICE_DUE), alert(AlertKind.SENDER_ANSWERED)):
            wrong = RENDERER.render(facts, recipient="olivera@example.edu", ref=SAMPLE_REF, at=SAMPLE_AT)
            leaks = (*REPORTER, "ombuds@example.edu")
            with pytest.raises(Leak):
                check_nothing_of(wrong, leaks, BLANK)

    @pytest.mark.parametrize(
        "address",
        [
            "may@example.edu",  # the campus's name, and the month of the message
            "nov@example.edu",  # the month in Date
            "will@example.edu",
            "mail@example.edu",
            "account@example.edu",
            "stopit@example.edu",  # the service's own address, flagging
            "all@example.edu",
            "2026@example.edu",
            "www@example.edu",
            "al@example.edu",
            "utf-8@example.edu",
            "era@example.edu",
            "a@example.edu",  # the last letter of a random ref
            "aaa@example.edu",
        ],
    )
    def test_a_name_that_is_a_word_stops_no_notice(self, address: str) -> None:
        check_nothing_of(NOTICE, [address, "<x.17@mua.example.edu>"], BLANK)

    def test_one_more_than_the_blank_says_is_a_leak(self) -> None:
        with pytest.raises(Leak):
            check_nothing_of(saying(b"Hello, May,"), ["may@example.edu"], BLANK)

    def test_the_sender_is_no_leak_of_a_reporter_whose_name_ends_alike(self) -> None:
        assert "olivera@example.edu".endswith("vera@example.edu")
        check_nothing_of(NOTICE, ["vera@example.edu"], BLANK)

    def test_a_sender_and_a_reporter_of_one_name_at_two_places(self) -> None:
        notice = RENDERER.render(FACTS, recipient="vera@elsewhere.org", ref=SAMPLE_REF, at=SAMPLE_AT)
        check_nothing_of(notice, ["vera@example.edu"], BLANK)

    def test_a_case_number_made_of_the_reporter(self) -> None:
        notice = RENDERER.render(
            NoticeFacts("VERA-1", FACTS.day), recipient="m@example.edu", ref="b" * 16, at=SAMPLE_AT
        )
        with pytest.raises(Leak):
            check_nothing_of(notice, REPORTER, RENDERER.blank(FACTS, SAMPLE_AT))

    @pytest.mark.parametrize("empty", ["", "@", "<>", "  ", "@example.edu", "a"])
    def test_short_strings_are_not_searched(self, empty: str) -> None:
        check_nothing_of(NOTICE, [empty], BLANK)

    @settings(max_examples=60)
    @given(local=st.from_regex(r"[a-z][a-z0-9.]{2,12}", fullmatch=True), at=st.sampled_from([b"Hello,", b"Stopit"]))
    def test_any_reporter_is_found_wherever_named(self, local: str, at: bytes) -> None:
        address = f"{local}@example.edu"
        check_nothing_of(NOTICE, [address], BLANK)
        with pytest.raises(Leak):
            check_nothing_of(altered(at, at + b" " + address.encode() + b" "), [address], BLANK)
