"""The language of the dialogs: parsing, and error messages."""

from __future__ import annotations

import re
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from stopit_lab.dialog import DialogError, parse
from stopit_lab.dialog.failure import Unmet, show_failure
from stopit_lab.dialog.parser import sentences
from stopit_lab.dialog.received import Sent, case_number, is_copy_of, is_delivery_of, kind_of, leaks, phrases
from stopit_lab.dialog.steps import (
    Check,
    CheckKind,
    Forward,
    Get,
    GetNot,
    Grow,
    Item,
    Kind,
    NobodyMore,
    Outcome,
    Reply,
    Send,
    SendAgain,
    SendFile,
    Sending,
    Settle,
    Step,
    Wait,
    Wanted,
)
from stopit_lab.dialog.words import address, reference, split_list, split_quoted
from stopit_lab.mailbox import Received
from stopit_lab.messages import Style
from stopit_lab.people import Cast
from stopit_lab.site import Stores

DIALOGS = Path(__file__).parents[2] / "dialogs"
README = (DIALOGS / "README.md").read_text("utf-8")
ORIGINAL = "mallory sends to vera: original\n"


def steps(text: str) -> tuple[Step, ...]:
    return parse(text).steps


def last(text: str) -> Step:
    """Return the last step of a dialog in which mallory has written `original` to vera."""
    return steps(ORIGINAL + text)[-1]


def test_readme_example() -> None:
    (example,) = re.findall(r"```\n(.*?)```", README, re.S)

    dialog = parse(example)

    assert dialog.stores == (Stores.SQLITE, Stores.REDIS)
    assert [type(step) for step in dialog.steps] == [Send, Get, Reply, Get, Get, Get, GetNot, NobodyMore]
    assert dialog.steps[0] == Send(
        4,
        "mallory",
        ("vera", "walt"),
        Sending(headers=(("Subject", "Your talk on Tuesday"),), text="Nobody wants you here.\n", called="original"),
    )


@pytest.mark.parametrize("sentence", sentences())
def test_readme_names_each_sentence(sentence: str) -> None:
    assert f"| `{sentence}` |" in README


@pytest.mark.parametrize("file", sorted(DIALOGS.glob("*.dialog")), ids=lambda file: file.stem)
def test_every_dialog_can_be_read_and_says_first_what_it_shows(file: Path) -> None:
    text = file.read_text("utf-8")

    assert parse(text, file.name).steps
    assert re.match(r"# [A-Z].*[.]\n", text)


class TestHead:
    def test_sqlite_unless_said(self) -> None:
        assert parse(ORIGINAL).stores == (Stores.SQLITE,)

    def test_settings_of_the_site(self) -> None:
        text = 'policy.single_recipient = "ask"\npolicy.notice_delay = ["5s", "5s"]\n' + ORIGINAL

        assert parse(text).values == {"policy": {"single_recipient": "ask", "notice_delay": ["5s", "5s"]}}


class TestSending:
    def test_lines_below_a_message(self) -> None:
        step = last(
            "mallory sends from outside to vera+work, everyone and stopit\n"
            "  Subject: Hello\n"
            "  Bcc: bob, MALLORY\n"
            "  without: Message-ID, Date\n"
            "  envelope from: <>\n"
            "  envelope to: vera\n"
            "  login: walt\n"
            "  client address: 192.0.2.7\n"
            "  called: second\n"
            "  | one\n"
            "  |\n"
            "  |   three\n"
            "  is refused: 550\n"
        )

        assert step == Send(
            2,
            "mallory",
            ("vera+work", "everyone", "stopit"),
            Sending(
                headers=(("Subject", "Hello"), ("Bcc", "bob, MALLORY")),
                without=("Message-ID", "Date"),
                text="one\n\n  three\n",
                envelope_from="",
                envelope_to=("vera",),
                login="walt",
                client_address="192.0.2.7",
                outside=True,
                called="second",
                outcome=Outcome.REFUSED,
                said="550",
            ),
        )

    @pytest.mark.parametrize(
        ("text", "step"),
        [
            ("vera sends the file k01.eml", SendFile(2, "vera", "k01.eml", (), Sending(called="k01"))),
            (
                "vera sends the file mail/K 2.eml: two".replace(" 2", "2"),
                SendFile(2, "vera", "mail/K2.eml", (), Sending(called="two")),
            ),
            (
                "olga sends the file k.eml from outside to vera and walt",
                SendFile(2, "olga", "k.eml", ("vera", "walt"), Sending(called="k", outside=True)),
            ),
            ("mallory sends original again", SendAgain(2, "mallory", "original", Sending())),
            ("vera replies to original: stopit", Reply(2, "vera", "original", "reply", Sending(text="stopit"))),
            (
                "vera replies to original:\n  | one\n  | two\n  style: html-only\n  is put off",
                Reply(
                    2,
                    "vera",
                    "original",
                    "reply",
                    Sending(text="one\ntwo\n", style=Style.HTML_ONLY, outcome=Outcome.PUT_OFF),
                ),
            ),
            (
                "vera replies to original from outside: stopit: now",
                Reply(2, "vera", "original", "reply", Sending(text="stopit: now", outside=True)),
            ),
            (
                "vera forwards original to stopit: See attached.",
                Forward(2, "vera", ("original",), ("stopit",), Sending(text="See attached.")),
            ),
        ],
    )
    def test_sentence(self, text: str, step: Step) -> None:
        assert last(text) == step

    def test_several_originals_can_be_forwarded(self) -> None:
        step = last("bob sends to vera: second\nvera forwards original and second to stopit")

        assert isinstance(step, Forward)
        assert step.messages == ("original", "second")

    def test_answer_to_what_stopit_sent(self) -> None:
        step = last("vera gets: acknowledgement\nwalt answers vera's acknowledgement: cancel")

        assert step == Reply(3, "walt", "vera's acknowledgement", "answer", Sending(text="cancel"))


class TestGetting:
    @pytest.mark.parametrize(
        ("text", "wanted"),
        [
            ("mallory gets: notice", Wanted(Kind.NOTICE)),
            ("mallory gets: a notice", Wanted(Kind.NOTICE)),
            ('staff get: alert with "bounced, later"', Wanted(Kind.ALERT, word="bounced, later")),
            ("staff get: copy of original", Wanted(Kind.COPY, "original")),
            ("vera gets: original", Wanted(Kind.MESSAGE, "original")),
        ],
    )
    def test_what_is_got(self, text: str, wanted: Wanted) -> None:
        step = last(text)

        assert isinstance(step, Get)
        assert step.wanted == (wanted,)

    def test_several_readers_and_messages(self) -> None:
        step = last("mallory, vera and staff do not get: original, another notice, anything")

        wanted = (Wanted(Kind.MESSAGE, "original"), Wanted(Kind.NOTICE), Wanted(Kind.ANYTHING))
        assert step == GetNot(2, ("mallory", "vera", "staff"), wanted)

    def test_checks(self) -> None:
        step = last(
            "vera gets: original\n"
            '  has: mallory, "vera", staff, "one, \\"two\\""\n'
            "  does not have: {vera}\n"
            '  begins with: "In danger"\n'
            "  Subject: Re: *\n"
            "  without: Bcc, X-Stopit-Flag\n"
            "  | one\n"
            "  | two\n"
            "  is as it was sent\n"
            "  case has: bounced\n"
        )

        assert isinstance(step, Get)
        items = (Item("mallory", person=True), Item("vera"), Item("staff"), Item('one, "two"'))
        assert step.checks == (
            Check(3, CheckKind.HAS, items),
            Check(4, CheckKind.HAS_NOT, (Item("{vera}"),)),
            Check(5, CheckKind.BEGINS, (Item("In danger"),)),
            Check(6, CheckKind.HEADER, (Item("Re: *"),), "Subject"),
            Check(7, CheckKind.WITHOUT, (Item("Bcc"), Item("X-Stopit-Flag"))),
            Check(8, CheckKind.TEXT, (Item("one\ntwo"),)),
            Check(10, CheckKind.AS_SENT),
            Check(11, CheckKind.CASE, (Item("bounced"),)),
        )

    @pytest.mark.parametrize(
        ("text", "step"),
        [
            ("nobody gets more", NobodyMore(2)),
            ("all that is due is sent", Settle(2)),
            ("2.5 s pass", Wait(2, 2.5)),
            ("stopit_flags_total grows by 1", Grow(2, "stopit_flags_total", {}, 1)),
            (
                'stopit_decisions_total{outcome="notice", reason="notice-due"} grows by 2',
                Grow(2, "stopit_decisions_total", {"outcome": "notice", "reason": "notice-due"}, 2),
            ),
        ],
    )
    def test_other_sentences(self, text: str, step: Step) -> None:
        assert last(text) == step


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("", 1, "nothing happens; write a sentence such as"),
        ("stores: sqlite, mysql\n", 1, "write such as: stores: sqlite, redis"),
        ("policy.single_recipent = 1\n", 1, "did you mean single_recipient?"),
        ("polcy.single_recipient = 1\n", 1, "did you mean policy?"),
        ("policy.single_recipient = ask\n", 1, 'such as: policy.single_recipient = "ask"'),
        ("  has: word\n", 1, "begin this one at the margin"),
        ("malory sends to vera\n", 1, "nobody here is called malory; did you mean mallory?"),
        ("staff sends to vera\n", 1, "nobody here is called staff"),
        ("mallory sends to vara\n", 1, "there is no vara to send to; did you mean vera?"),
        ("mallory sends to vera\n  Cc: vara\n", 2, "did you mean vera?"),
        ("mallory writes to vera\n", 1, "PERSON sends [from outside] to LIST[: NAME]"),
        ("mallory sends to vera: notice\n", 1, "notice is a word of the language"),
        ("mallory sends to vera\n\n  # so\n  subject: Hello\n", 4, "Header: value"),
        ("mallory sends to vera\n  style: pine\n", 2, "known here: top, bottom, gmail"),
        ("mallory sends to vera\n  login: nobody\n", 2, "nobody has the login nobody"),
        ("mallory sends to vera\n  | {vara}\n", 2, "nothing stands for {vara}; did you mean vera?"),
        ("vera sends the file k01.eml\n  Subject: Hello\n", 2, "written in the file"),
        (ORIGINAL + "vera replies to orignal: stopit\n", 2, "no line above names orignal; did you mean original?"),
        (ORIGINAL + "vera replies to original:\n", 2, "nothing is typed"),
        (ORIGINAL + "vera replies to walt's letter: stopit\n", 2, "write its name, or such as: the reply"),
        (ORIGINAL + "vera gets: acknowledgment\n", 2, "acknowledgment; did you mean acknowledgement?"),
        (ORIGINAL + "gone gets: original\n", 2, "nobody here is called gone"),
        (ORIGINAL + "vera gets: anything\n", 2, "name what is got"),
        (ORIGINAL + "vera gets: original\n  is accepted\n", 3, "not a line about a message that was got"),
        (ORIGINAL + 'vera gets: original\n  has: "no end\n', 3, "not a list"),
        ("stopit_flags_total{channel=reply} grows by 1\n", 1, "labels are written as"),
    ],
)
def test_error_names_the_line_and_what_is_right(text: str, line: int, says: str) -> None:
    with pytest.raises(DialogError) as error:
        parse(text, "tests/dialogs/story.dialog")

    assert str(error.value).startswith(f"tests/dialogs/story.dialog, line {line}: ")
    assert says in str(error.value)


class TestWords:
    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("vera", "vera-7@campus.example"),
            ("vera+work", "vera-7+work@campus.example"),
            ("VERA", "VERA-7@Campus.Example"),
            ("olga", "olga-7@elsewhere.example"),
            ("m.mallory", "m.mallory-7@campus.example"),
            ("stopit", "stopit@campus.example"),
            ("staff", "stopit-staff@campus.example"),
            ("somebody@else.example", "somebody@else.example"),
        ],
    )
    def test_address(self, text: str, found: str) -> None:
        assert address(Cast(7), text) == found

    def test_lists(self) -> None:
        assert split_list("vera, walt and bob") == ("vera", "walt", "bob")
        assert split_list("vera, walt, and bob") == ("vera", "walt", "bob")
        assert split_quoted('one two, "three, four"') == [("one two", False), ("three, four", True)]

    def test_reference(self) -> None:
        assert [reference(text) for text in ("original", "reply", "the  reply", "vera's answer")] == [
            "original",
            "the reply",
            "the reply",
            "vera's answer",
        ]


def received(head: str, text: str = "Hello.\n") -> Received:
    return Received(f"{head}\n\n{text}".encode())


def sent(head: str, queue_id: str = "4XQ") -> Sent:
    raw = f"{head}\n\nHello.\n".encode()
    return Sent(1, "vera", raw, message_from_bytes(raw, policy=policy.default), (), queue_id, ())


class TestReceived:
    FROM = "From: Campus Stopit <stopit@campus.example>"

    @pytest.mark.parametrize(
        ("head", "staff", "kind"),
        [
            (f"{FROM}\nAuto-Submitted: auto-generated", False, Kind.NOTICE),
            (f"{FROM}\nAuto-Submitted: auto-replied", False, Kind.ACKNOWLEDGEMENT),
            (f"{FROM}\nAuto-Submitted: auto-generated", True, Kind.ALERT),
            (f"{FROM}\nAuto-Submitted: auto-generated\nX-Stopit-Report: 1", True, Kind.COPY),
            ("From: vera@campus.example\nAuto-Submitted: auto-generated", False, Kind.MESSAGE),
            (FROM, False, Kind.MESSAGE),
        ],
    )
    def test_kind(self, head: str, staff: bool, kind: Kind) -> None:
        assert kind_of(received(head), staff) is kind

    def test_delivery_is_known_by_the_queue_id_too(self) -> None:
        one = sent("Message-ID: <1@campus.example>")

        head = "Received: by mx (Postfix) with ESMTP id {} for <vera>; now\nMessage-ID: <{}@campus.example>"
        assert is_delivery_of(received(head.format("4XQ", 1)), one)
        assert not is_delivery_of(received(head.format("4XQZ", 1)), one)
        assert not is_delivery_of(received(head.format("4XQ", 2)), one)

    def test_copy_is_tagged_itself_or_attached_to_what_is(self) -> None:
        one = sent("Message-ID: <1@campus.example>")
        attached = (
            "X-Stopit-Report: 7\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n"
            "--b\n\nA flag.\n--b\nContent-Type: message/rfc822\n\nMessage-ID: <1@campus.example>\n\nstopit\n--b--\n"
        )

        assert is_copy_of(received("X-Stopit-Report: 7\nMessage-ID: <1@campus.example>"), one)
        assert is_copy_of(Received(attached.encode()), one)
        assert not is_copy_of(received("Message-ID: <1@campus.example>"), one)
        assert not is_copy_of(received("X-Stopit-Report: 7\nMessage-ID: <2@campus.example>"), one)

    def test_case_number(self) -> None:
        assert case_number(received("", "The number of your case is 7KQ4-M2XD.\n")) == "7KQ4-M2XD"
        assert case_number(received("", "Seen.\n\nCase: 7KQ4-M2XD\nSender: -\n")) == "7KQ4-M2XD"
        assert case_number(received("", "No case.\n")) == ""


class TestLeaks:
    def test_phrases_are_three_words_in_a_row(self) -> None:
        assert phrases("Nobody wants you,\nhere.") == {"nobody wants you", "wants you here"}
        assert phrases("Everybody laughed.") == {"everybody laughed"}
        assert phrases("stopit") == set()

    def test_names_and_quotations(self) -> None:
        notice = received("Subject: A report", "vera-7 says that nobody WANTS\nyou, mallory-7@campus.example.\n")

        found = leaks(notice, "mallory-7@campus.example", ["vera-7", "walt-7"], ["Nobody wants you here"])

        assert found == ["vera-7", "nobody wants you"]

    def test_the_account_itself_is_none(self) -> None:
        notice = received("Subject: A report", "Mail from mallory-7@campus.example was reported.\n")

        assert leaks(notice, "mallory-7@campus.example", ["vera-7"], ["To mallory-7@campus.example: hello"]) == []


def test_failure_shows_the_dialog_with_the_line_marked() -> None:
    dialog = parse(f"# A story.\n{ORIGINAL}mallory gets: notice\n", "story.dialog")

    shown = show_failure(dialog, "on a site with sqlite stores", Unmet("a notice", "an empty mailbox", 3))

    assert shown == (
        "story.dialog, line 3, on a site with sqlite stores\n\n"
        "    1  # A story.\n    2  mallory sends to vera: original\n>   3  mallory gets: notice\n\n"
        "expected: a notice\ninstead:  an empty mailbox"
    )
