"""The rules, the three recognisers, the checks before them, and loading."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopit_core.config import Campus, FlagWords
from stopit_core.envelope import Envelope
from stopit_core.errors import ConfigError
from stopit_core.flags import (
    Flag,
    FlagHeader,
    FlagRules,
    NamedOriginal,
    NotFlagged,
    Recognisers,
    ReplyKeyword,
    ReportAddress,
    gate,
    recognise,
)
from stopit_core.mail import Headers, Mail, read_message
from stopit_core.model import Channel, Command

CAMPUS = Campus(
    name="Example University",
    domains=("example.edu",),
    report_address="stopit@example.edu",
    staff_address="staff@example.edu",
)
RULES = FlagRules.of(FlagWords(), CAMPUS)
RECOGNISERS = Recognisers([FlagHeader(RULES), ReplyKeyword(RULES), ReportAddress(RULES)])


def member(*recipients: str) -> Envelope:
    return Envelope(login="vera", mail_from="vera@example.edu", recipients=recipients or ("<mallory@example.edu>",))


def mail(text: str = "stopit", **fields: str) -> Mail:
    return Mail(Headers((name.replace("_", "-"), value) for name, value in fields.items()), text)


def recognised(envelope: Envelope, message: Mail, recognisers: Recognisers = RECOGNISERS) -> Flag | NotFlagged:
    """Return the result at end of message, unless the headers decide."""
    asked = recognisers.precheck(envelope, message.headers)
    return asked if isinstance(asked, NotFlagged) else recognise(asked, envelope, message)


# --- rules


def test_a_site_may_have_words_of_its_own() -> None:
    words = FlagWords(keywords=("Stop It", "arrête", "halt!"), record=("notieren",), urgent=("dringend",))
    rules = FlagRules.of(words, CAMPUS)

    assert rules.command_typed("STOP IT.") is Command.FLAG
    assert rules.command_typed("ARRÊTE") is Command.FLAG
    assert rules.command_typed("halt") is Command.FLAG
    assert rules.command_typed("Halt dringend!") is Command.URGENT
    assert rules.command_typed("stop it notieren") is Command.RECORD
    assert rules.command_typed("stopit") is None
    assert rules.command_typed("stop it record") is None
    assert rules.command_in_header("record") is Command.RECORD
    assert rules.command_in_header("Dringend") is Command.URGENT


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("stopit🛑", Command.FLAG),
        ("STOPİT", Command.FLAG),
        ("#stopit", Command.FLAG),
        ("stopit, urgent!!", Command.URGENT),
        ("stopit/record", Command.RECORD),
        ("st\u043epit", None),
        ("stop it", None),
        ("stopiturgent", None),
    ],
)
def test_the_keyword_is_compared_without_what_is_no_letter(line: str, command: Command | None) -> None:
    assert RULES.command_typed(line) is command


@pytest.mark.parametrize(
    ("value", "command"),
    [
        ("flag", Command.FLAG),
        (" Record ", Command.RECORD),
        ("URGENT", Command.URGENT),
        ("", None),
        ("yes", None),
        ("flag record", None),
    ],
)
def test_the_header_has_three_values(value: str, command: Command | None) -> None:
    assert RULES.command_in_header(value) is command


@pytest.mark.parametrize(
    ("recipient", "is_it"),
    [
        ("<stopit@example.edu>", True),
        ("stopit@example.edu", True),
        ("<StopIt@Example.EDU>", True),
        ("<stopit+anything@example.edu>", True),
        ("<stopit+@example.edu>", True),
        ("<stopit@example.net>", False),
        ("<xstopit@example.edu>", False),
        ("<stopit-staff@example.edu>", False),
        ("<+stopit@example.edu>", False),
        ("<>", False),
    ],
)
def test_the_report_address_in_any_spelling(recipient: str, is_it: bool) -> None:
    assert RULES.is_report_address(recipient) is is_it


# --- what a reply names


@pytest.mark.parametrize(
    ("fields", "originals"),
    [
        ({"In_Reply_To": "<a@b>"}, (NamedOriginal("a@b"),)),
        ({"In_Reply_To": "<a@b>", "References": "<x@y> <c@d>"}, (NamedOriginal("a@b"),)),
        ({"References": "<x@y> <c@d>"}, (NamedOriginal("c@d"),)),
        ({"In_Reply_To": "", "References": "<c@d>"}, (NamedOriginal("c@d"),)),
        ({"In_Reply_To": "<a@b> <c@d>"}, (NamedOriginal("a@b", ambiguous=True),)),
        ({"In_Reply_To": "<a@b> <a@b>"}, (NamedOriginal("a@b"),)),
        ({"In_Reply_To": "<A@b> <a@b>"}, (NamedOriginal("A@b", ambiguous=True),)),
        ({"In_Reply_To": "nothing that can be read"}, ()),
    ],
)
def test_a_reply_names_what_it_answers(fields: dict[str, str], originals: tuple[NamedOriginal, ...]) -> None:
    assert recognised(member(), mail(**fields)) == Flag(Channel.REPLY, Command.FLAG, originals)


def test_two_in_reply_to_fields_are_ambiguous() -> None:
    headers = Headers([("In-Reply-To", "<a@b>"), ("In-Reply-To", "<c@d>")])

    flag = recognised(member(), Mail(headers, "stopit"))

    assert flag == Flag(Channel.REPLY, Command.FLAG, (NamedOriginal("a@b", ambiguous=True),))


def test_a_trusted_relay_counts_as_a_member() -> None:
    envelope = Envelope(relay=True, mail_from="vera@example.edu", recipients=("<mallory@example.edu>",))

    assert isinstance(recognised(envelope, mail(In_Reply_To="<a@b>")), Flag)


# --- the flag header


def test_the_header_flags_whatever_the_text_says() -> None:
    flag = recognised(member(), mail("see you", In_Reply_To="<a@b>", X_Stopit="urgent"))

    assert flag == Flag(Channel.HEADER, Command.URGENT, (NamedOriginal("a@b"),))


def test_the_header_on_what_is_no_reply_names_none() -> None:
    assert recognised(member(), mail("x", X_Stopit="flag")) == Flag(Channel.HEADER, Command.FLAG, ())


def test_the_header_of_a_stranger_is_nothing() -> None:
    envelope = Envelope(mail_from="eve@example.net", recipients=("<vera@example.edu>",))

    assert recognised(envelope, mail(X_Stopit="flag")) is NotFlagged.NOT_A_MEMBER


def test_a_header_that_cannot_be_read_leaves_the_keyword() -> None:
    both = mail("stopit", In_Reply_To="<a@b>", X_Stopit="perhaps")

    assert recognised(member(), both) == Flag(Channel.REPLY, Command.FLAG, (NamedOriginal("a@b"),))
    assert recognised(member(), mail("x", X_Stopit="perhaps")) is NotFlagged.NO_REPLY


# --- the report address


def test_a_reply_that_goes_to_the_sender_too_is_a_reply() -> None:
    envelope = member("<mallory@example.edu>", "<stopit@example.edu>")

    flag = recognised(envelope, mail(In_Reply_To="<a@b>"))

    assert isinstance(flag, Flag)
    assert flag.channel is Channel.REPLY


def test_a_forward_to_the_report_address_names_what_it_carries() -> None:
    forward = Mail(Headers([("References", "<a@b>")]), "stopit", (Headers([("Message-ID", "<c@d>")]),))

    flag = recognised(member("<STOPIT@example.edu>"), forward)

    assert flag == Flag(Channel.REPORT_ADDRESS, Command.FLAG, (NamedOriginal("c@d"),))


def test_a_resent_message_is_named_by_its_own_id() -> None:
    resent = mail("x", From="m@example.edu", Resent_From="vera@example.edu", Message_ID="<a@b>", In_Reply_To="<c@d>")

    flag = recognised(member("<stopit@example.edu>"), resent)

    assert flag == Flag(Channel.REPORT_ADDRESS, Command.FLAG, (NamedOriginal("a@b"),))


def test_the_same_original_attached_twice_is_one() -> None:
    twice = (Headers([("Message-ID", "<c@d>")]), Headers([("Subject", "no id")]), Headers([("Message-ID", "<c@d>")]))

    flag = recognised(member("<stopit@example.edu>"), Mail(Headers(), "", twice))

    assert isinstance(flag, Flag)
    assert flag.originals == (NamedOriginal("c@d"),)


def test_the_report_address_takes_from_strangers_but_not_from_programs() -> None:
    stranger = Envelope(mail_from="vera@example.net", recipients=("<stopit@example.edu>",))
    bounce = Envelope(recipients=("<stopit@example.edu>",))

    assert isinstance(RECOGNISERS.precheck(stranger, Headers()), tuple)
    assert RECOGNISERS.precheck(bounce, Headers()) is NotFlagged.AUTOMATIC
    assert RECOGNISERS.precheck(stranger, Headers([("List-Id", "x")])) is NotFlagged.LIST


# --- the checks before the recognisers


def test_ordinary_mail_is_known_at_end_of_headers() -> None:
    inbound = Envelope(mail_from="x@example.net", recipients=("<vera@example.edu>",))

    assert RECOGNISERS.precheck(member(), Headers([("Subject", "stopit")])) is NotFlagged.NO_REPLY
    assert RECOGNISERS.precheck(inbound, Headers([("In-Reply-To", "<a@b>")])) is NotFlagged.NOT_A_MEMBER
    assert isinstance(RECOGNISERS.precheck(member(), Headers([("In-Reply-To", "<a@b>")])), tuple)


class Counting:
    """A recogniser that counts its calls, and wants the body if the test says so."""

    def __init__(self, wanting: bool) -> None:
        self.wanting = wanting
        self.asked: list[str] = []

    def wants(self, envelope: Envelope, headers: Headers) -> bool:
        self.asked.append("wants")
        return self.wanting

    def recognise(self, envelope: Envelope, mail: Mail) -> Flag | None:
        self.asked.append("recognise")
        return None


def test_each_recogniser_is_asked_once_and_reads_only_what_it_wants() -> None:
    one, other = Counting(True), Counting(False)

    assert recognised(member(), mail(), Recognisers([one, other])) is NotFlagged.NO_KEYWORD
    assert (one.asked, other.asked) == (["wants", "recognise"], ["wants"])


def test_every_reason_is_a_sentence() -> None:
    for reason in NotFlagged:
        assert reason.sentence.startswith("Not a flag: ")
        assert reason.sentence.endswith(".")


@given(st.binary(max_size=400))
def test_hostile_mail_never_raises(raw: bytes) -> None:
    prefix = b"In-Reply-To: <a@b>\n\n"

    for envelope in (member(), member("<stopit@example.edu>")):
        for octets in (raw, prefix + raw):
            assert isinstance(recognised(envelope, read_message(octets)), Flag | NotFlagged)


@given(st.text(alphabet=string.ascii_letters + string.digits + " -", min_size=1, max_size=30))
def test_a_flag_is_the_keyword_and_nothing_else(more: str) -> None:
    words = more.casefold().replace("-", "").split()
    expected = {(): Command.FLAG, ("record",): Command.RECORD, ("urgent",): Command.URGENT}.get(tuple(words))

    assert RULES.command_typed(f"stopit {more}") is expected
    assert RULES.command_typed(f"{more}x stopit") is None
    assert RULES.command_typed(f"x{more} stopit") is None


# --- loading


def test_the_installed_recognisers_are_loaded() -> None:
    loaded = gate.load_recognisers(RULES)

    assert isinstance(recognised(member(), mail(In_Reply_To="<a@b>"), loaded), Flag)


def test_one_that_cannot_be_made_is_named() -> None:
    point = gate.EntryPoint(name="broken", value="stopit_core.flags:NoSuchThing", group=gate.GROUP)
    not_one = gate.EntryPoint(name="odd", value="builtins:str", group=gate.GROUP)

    with pytest.raises(ConfigError) as error:
        gate.recognisers_from([point, not_one], RULES)

    assert "broken = stopit_core.flags:NoSuchThing: this recogniser cannot be loaded" in str(error.value)
    assert "odd = builtins:str" in str(error.value)
    assert "it has no method wants" in str(error.value)


def test_none_at_all_is_a_fault() -> None:
    with pytest.raises(ConfigError, match="nothing would ever be a flag"):
        gate.recognisers_from([], RULES)
