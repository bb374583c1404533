"""The ruling on a message, without I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stopit_core.decision.context import Engine
from stopit_core.decision.disposition import AT_ONCE, decide, may_be_flag, prospect
from stopit_core.decision.transaction import Transaction
from stopit_core.identity.keys import new_ref
from stopit_core.model import AnswerReport, Assurance, Channel, Command, FlagReport, Original

Make = Callable[..., Transaction]
STAFF = "staff@campus.example"
REPORT = "<stopit@campus.example>"
TO_REPORT = (
    ("From", "Vera <vera@campus.example>"),
    ("Message-ID", "<forward@campus.example>"),
    ("X-Forwarded-Message-Id", "<original@campus.example>"),
)
AUTOMATIC = (("Message-ID", "<trial@campus.example>"), ("Auto-Submitted", "auto-generated"))
PASSED = ("Authentication-Results", "mx.campus.example; dmarc=pass header.from=campus.example")


def flag_of(transaction: Transaction, engine: Engine) -> FlagReport:
    ruling = decide(transaction, engine)
    assert ruling.flag is not None
    assert not ruling.answers
    return ruling.flag


def token_path(engine: Engine, ref: str) -> str:
    return f"<stopit+{engine.keyring.token(ref)}@campus.example>"


class TestFlag:
    def test_a_members_reply_is_withheld_from_everyone(self, engine: Engine, transaction: Make) -> None:
        paths = ("<Mallory@Campus.Example>", "mallory+x@campus.example", "<list@lists.example>")
        ruling = decide(transaction(recipients=paths), engine)
        assert ruling.flag == FlagReport(
            id=ruling.flag.id if ruling.flag else "",
            at=1000.0,
            queue_id="4Xabc",
            channel=Channel.REPLY,
            command=Command.FLAG,
            reporter="vera@campus.example",
            reporter_assurance=Assurance.AUTHENTICATED,
            originals=(Original(engine.keyring.message("original@campus.example")),),
            withheld=3,
        )
        assert ruling.edits.removed_recipients == paths
        assert ruling.edits.added_recipients == (STAFF,)
        assert ruling.edits.added_fields == (("X-Stopit-Report", ruling.flag.id), ("X-Stopit-Flag", "flag"))

    def test_the_trace_of_a_withheld_reply_names_nobody_it_was_kept_from(
        self, engine: Engine, transaction: Make
    ) -> None:
        (trace,) = decide(transaction(), engine).traces
        assert not trace.received_by(engine.people.digest("mallory@campus.example"))
        assert trace.received_by(engine.people.digest(STAFF))

    def test_the_same_recipient_twice_is_removed_once(self, engine: Engine, transaction: Make) -> None:
        ruling = decide(transaction(recipients=("<m@x.example>", "<m@x.example>")), engine)
        assert ruling.edits.removed_recipients == ("<m@x.example>",)

    @pytest.mark.parametrize(
        "staff", ["<staff@campus.example>", "STAFF@campus.example", "<Staff+tag@Campus.example>"]
    )
    def test_staff_among_the_recipients_stay_and_are_not_added(
        self, engine: Engine, transaction: Make, staff: str
    ) -> None:
        ruling = decide(transaction(recipients=("<m@x.example>", staff)), engine)
        assert ruling.edits.removed_recipients == ("<m@x.example>",)
        assert ruling.edits.added_recipients == ()

    def test_deliver_leaves_the_recipients(self, engine_with: Callable[..., Engine], transaction: Make) -> None:
        ruling = decide(transaction(), engine_with(reply="deliver"))
        assert ruling.flag is not None
        assert ruling.flag.withheld == 0
        assert ruling.edits.removed_recipients == ()
        assert ruling.edits.added_recipients == (STAFF,)

    def test_deliver_still_puts_staff_in_place_of_the_report_address(
        self, engine_with: Callable[..., Engine], transaction: Make
    ) -> None:
        made = transaction(fields=TO_REPORT, recipients=(REPORT, "<friend@x.example>"))
        edits = decide(made, engine_with(reply="deliver")).edits
        assert (edits.removed_recipients, edits.added_recipients) == ((REPORT,), (STAFF,))

    def test_observe_reports_and_changes_nothing(self, engine_with: Callable[..., Engine], transaction: Make) -> None:
        forged = (*TO_REPORT, ("X-Stopit-Report", "1"))
        observing = engine_with(mode="observe")
        for made in (transaction(), transaction(fields=forged, recipients=(REPORT,), login="")):
            ruling = decide(made, observing)
            assert ruling.flag is not None
            assert ruling.flag.observed
            assert ruling.flag.withheld == 0
            assert not ruling.edits

    def test_a_retry_makes_the_same_report(self, engine: Engine, transaction: Make) -> None:
        first = flag_of(transaction(queue_id="4Xa", at=1000.0), engine)
        assert first.id == flag_of(transaction(queue_id="4Xb", at=1300.0), engine).id
        assert first.id != flag_of(transaction(login="walt"), engine).id

    def test_without_a_message_id_two_flags_are_two(
        self, engine: Engine, transaction: Make, reply: tuple[tuple[str, str], ...]
    ) -> None:
        fields = [pair for pair in reply if pair[0] != "Message-ID"]
        first = flag_of(transaction(fields=fields), engine)
        assert first.id != flag_of(transaction(fields=fields, queue_id="4Xb"), engine).id

    def test_only_a_flag_that_carries_originals_says_that_it_was_cut(self, engine: Engine, transaction: Make) -> None:
        assert not flag_of(transaction(truncated=True), engine).truncated
        assert flag_of(transaction(fields=TO_REPORT, recipients=(REPORT,), truncated=True), engine).truncated

    def test_old_fields_of_ours_are_taken_from_a_staff_copy(
        self, engine: Engine, transaction: Make, reply: tuple[tuple[str, str], ...]
    ) -> None:
        edits = decide(transaction(fields=[*reply, ("X-Stopit-Flag", "urgent")]), engine).edits
        assert edits.removed_fields == (("x-stopit-flag", 1),)

    def test_an_unusable_login_is_still_withheld(self, engine: Engine, transaction: Make) -> None:
        ruling = decide(transaction(login="\ufffd"), engine)
        assert ruling.edits.removed_recipients == ("<Mallory@Campus.Example>",)


class TestReportAddressFromOutside:
    def test_only_the_report_address_is_replaced(self, engine: Engine, transaction: Make) -> None:
        made = transaction(fields=TO_REPORT, login="", recipients=("<friend@x.example>", "<StopIt@campus.example>"))
        ruling = decide(made, engine)
        assert ruling.edits.removed_recipients == ("<StopIt@campus.example>",)
        assert ruling.edits.added_recipients == (STAFF,)
        assert ruling.flag is not None
        assert ruling.flag.withheld == 1

    @pytest.mark.parametrize(
        ("extra", "address", "assurance"),
        [
            ((), "vera@campus.example", Assurance.UNVERIFIED),
            ((PASSED,), "vera@campus.example", Assurance.VERIFIED),
            ((("Authentication-Results", "evil.example; dmarc=pass"),), "vera@campus.example", Assurance.UNVERIFIED),
            ((PASSED, ("Resent-From", "vera@campus.example")), "", Assurance.UNVERIFIED),
            ((PASSED, ("From", "eve@campus.example")), "", Assurance.UNVERIFIED),
        ],
        ids=["nothing said", "our word", "a stranger's word", "resent", "two From"],
    )
    def test_the_reporter_is_as_sure_as_our_servers_are(
        self, engine: Engine, transaction: Make, extra: Any, address: str, assurance: Assurance
    ) -> None:
        flag = flag_of(transaction(fields=(*TO_REPORT, *extra), login="", recipients=(REPORT,)), engine)
        assert (flag.reporter, flag.reporter_assurance) == (address, assurance)

    def test_without_a_usable_from_nobody_is_named(self, engine: Engine, transaction: Make) -> None:
        fields = (("From", "undisclosed"), *TO_REPORT[1:])
        flag = flag_of(transaction(fields=fields, login="", recipients=(REPORT,)), engine)
        assert (flag.reporter, flag.reporter_assurance) == ("", Assurance.UNVERIFIED)

    def test_a_stranger_cannot_use_up_a_members_report_id(self, engine: Engine, transaction: Make) -> None:
        members = transaction(fields=TO_REPORT, recipients=(REPORT,))
        strangers = transaction(fields=TO_REPORT, recipients=(REPORT,), login="")
        assert flag_of(members, engine).id != flag_of(strangers, engine).id

    def test_a_relays_word_names_the_reporter(self, engine: Engine, transaction: Make) -> None:
        made = transaction(fields=TO_REPORT, recipients=(REPORT,), login="", relay=True)
        flag = flag_of(made, engine)
        assert (flag.reporter, flag.reporter_assurance) == ("vera@campus.example", Assurance.VERIFIED)


class TestNoFlag:
    @pytest.mark.parametrize(
        "changes",
        [
            {"login": ""},
            {"body": b"please stopit\r\n"},
            {"body": b"> stopit\r\n"},
            {"mail_from": ""},
            {"fields": (("Message-ID", "<a@b>"), ("Subject", "stopit"))},
        ],
        ids=["not a member", "in a sentence", "quoted", "null sender", "no reply"],
    )
    def test_it_goes_as_it_is(self, engine: Engine, transaction: Make, changes: dict[str, Any]) -> None:
        ruling = decide(transaction(**changes), engine)
        assert ruling.flag is None
        assert not ruling.answers
        assert not ruling.edits
        assert len(ruling.traces) == 1


class TestAnswer:
    PERSON = (("From", "vera@campus.example"), ("Message-ID", "<a@campus.example>"), ("Subject", "Re: case"))

    def test_a_persons_answer_goes_to_staff(self, engine: Engine, transaction: Make) -> None:
        ref = new_ref()
        path = token_path(engine, ref).upper()
        made = transaction(fields=self.PERSON, body=b"cancel\r\n", recipients=(path, "<x@x.example>"))
        ruling = decide(made, engine)
        (answer,) = ruling.answers
        assert (answer.ref, answer.author, answer.null_sender) == (ref, "vera@campus.example", False)
        assert answer.raw.endswith(b"Subject: Re: case\r\n\r\ncancel\r\n")
        assert ruling.flag is None
        assert (ruling.edits.removed_recipients, ruling.edits.added_recipients) == ((path,), (STAFF,))

    @pytest.mark.parametrize(
        "changes",
        [{"mail_from": ""}, {"fields": (*PERSON, ("Auto-Submitted", "auto-replied"))}],
        ids=["bounce", "vacation"],
    )
    def test_a_programs_answer_goes_to_nobody(
        self, engine: Engine, transaction: Make, changes: dict[str, Any]
    ) -> None:
        path = token_path(engine, new_ref())
        made = {"fields": self.PERSON, **changes, "login": "", "recipients": (path,)}
        ruling = decide(transaction(**made), engine)
        assert len(ruling.answers) == 1
        assert ruling.answers[0].author == ""
        assert (ruling.edits.removed_recipients, ruling.edits.added_recipients) == ((path,), ())

    def test_the_keyword_to_a_reply_address_alone_is_an_answer(self, engine: Engine, transaction: Make) -> None:
        ruling = decide(transaction(recipients=(token_path(engine, new_ref()),)), engine)
        assert ruling.flag is None
        assert len(ruling.answers) == 1

    def test_a_flag_to_others_too_is_withheld_from_all(self, engine: Engine, transaction: Make) -> None:
        paths = (token_path(engine, new_ref()), "<mallory@campus.example>")
        ruling = decide(transaction(recipients=paths), engine)
        assert ruling.flag is not None
        assert ruling.edits.removed_recipients == paths

    def test_two_tokens_are_two_answers(self, engine: Engine, transaction: Make) -> None:
        refs = (new_ref(), new_ref())
        made = transaction(fields=self.PERSON, recipients=[token_path(engine, ref) for ref in refs])
        answers = decide(made, engine).answers
        assert tuple(answer.ref for answer in answers) == refs
        assert len({answer.id for answer in answers}) == 2

    def test_a_token_that_does_not_hold_is_the_report_address(self, engine: Engine, transaction: Make) -> None:
        made = transaction(fields=TO_REPORT, login="", recipients=(f"<stopit+{'a' * 32}@campus.example>",))
        assert flag_of(made, engine).channel is Channel.REPORT_ADDRESS

    def test_the_start_of_a_long_answer_is_kept(self, engine: Engine, transaction: Make) -> None:
        made = transaction(fields=self.PERSON, body=b"x" * 500_000, recipients=(token_path(engine, new_ref()),))
        (answer,) = decide(made, engine).answers
        assert isinstance(answer, AnswerReport)
        assert len(answer.raw) == 64 * 1024

    def test_observed_answers_are_left_where_they_go(
        self, engine_with: Callable[..., Engine], transaction: Make
    ) -> None:
        observing = engine_with(mode="observe")
        ruling = decide(transaction(fields=self.PERSON, recipients=(token_path(observing, new_ref()),)), observing)
        assert ruling.answers[0].observed
        assert not ruling.edits


class TestOwnMail:
    def make(self, engine: Engine, transaction: Make, **changes: Any) -> Transaction:
        own: dict[str, Any] = {
            "fields": (("From", "stopit@campus.example"), ("Message-ID", "<n@campus.example>")),
            "mail_from": token_path(engine, new_ref())[1:-1],
            "login": "",
            "client": "127.0.0.1",
        }
        return transaction(**{**own, **changes})

    def test_its_trace_says_so_and_is_waited_for(self, engine: Engine, transaction: Make) -> None:
        made = self.make(engine, transaction)
        assert prospect(made, engine).to_end
        ruling = decide(made, engine)
        assert ruling.flush
        assert not ruling.edits
        assert [trace.own for trace in ruling.traces] == [True]

    def test_it_is_never_a_flag(self, engine: Engine, transaction: Make, reply: Any) -> None:
        assert decide(self.make(engine, transaction, fields=reply, relay=True), engine).flag is None

    @pytest.mark.parametrize("changes", [{"client": "192.0.2.66"}, {"login": "mallory"}], ids=["outside", "a member"])
    def test_who_got_a_notice_cannot_pass_for_us(
        self, engine: Engine, transaction: Make, changes: dict[str, Any]
    ) -> None:
        ruling = decide(self.make(engine, transaction, **changes), engine)
        assert not ruling.flush
        assert [trace.own for trace in ruling.traces] == [False]

    def test_a_token_that_does_not_hold_is_not_ours(self, engine: Engine, transaction: Make) -> None:
        made = self.make(engine, transaction, mail_from=f"stopit+{'a' * 32}@campus.example")
        assert [trace.own for trace in decide(made, engine).traces] == [False]


class TestForgedFields:
    FORGED = (
        ("X-Stopit-Report", "1"),
        ("Subject", "x"),
        ("x-stopit-REPORT", "2"),
        ("X-Stopit-Flag", "urgent"),
        ("X-Stopit", "flag"),
        ("X-Stopit-Report", "3"),
    )

    def test_they_are_removed_from_the_last_to_the_first(self, engine: Engine, transaction: Make) -> None:
        made = transaction(fields=self.FORGED, login="")
        assert prospect(made, engine).to_end
        removed = decide(made, engine).edits.removed_fields
        assert removed == (
            ("x-stopit-report", 3),
            ("x-stopit-flag", 1),
            ("x-stopit-report", 2),
            ("x-stopit-report", 1),
        )

    def test_a_members_are_left(self, engine: Engine, transaction: Make) -> None:
        made = transaction(fields=(("X-Stopit-Report", "1"),))
        assert prospect(made, engine) == AT_ONCE
        assert not decide(made, engine).edits


class TestProspect:
    def test_ordinary_mail_goes_at_once(self, engine: Engine, transaction: Make, ordinary: Any, reply: Any) -> None:
        assert prospect(transaction(fields=ordinary), engine) == AT_ONCE
        assert prospect(transaction(fields=reply, login=""), engine) == AT_ONCE
        assert prospect(transaction(fields=[*reply, ("List-Id", "<l.example>")]), engine) == AT_ONCE

    def test_what_may_matter_is_read_so_far(self, engine: Engine, transaction: Make) -> None:
        assert prospect(transaction(), engine).body_bytes == 256 * 1024
        assert prospect(transaction(recipients=(REPORT,)), engine).body_bytes == 1024 * 1024
        assert prospect(transaction(recipients=(token_path(engine, new_ref()),)), engine).body_bytes == 64 * 1024


@pytest.mark.parametrize(
    ("names", "recipients", "login", "expected"),
    [
        ({"in-reply-to"}, (), "vera", True),
        ({"references"}, (), "vera", True),
        ({"x-stopit"}, (), "vera", True),
        (set(), (REPORT,), "vera", True),
        ({"subject"}, ("<x@x.example>",), "vera", False),
        ({"in-reply-to"}, (REPORT,), "", False),
    ],
)
def test_may_be_flag(
    engine: Engine, transaction: Make, names: set[str], recipients: tuple[str, ...], login: str, expected: bool
) -> None:
    envelope = transaction(recipients=recipients, login=login).envelope
    assert may_be_flag(envelope, frozenset(names), engine) is expected


class TestTrial:
    def trial(self, engine: Engine) -> tuple[str, str]:
        ref = engine.keyring.new_trial_ref()
        return ref, token_path(engine, ref)

    @pytest.mark.parametrize("mode", ["enforce", "observe"])
    def test_it_makes_a_report_and_reaches_nobody_in_any_mode(
        self, engine_with: Callable[..., Engine], transaction: Make, mode: str
    ) -> None:
        engine = engine_with(mode=mode)
        ref, path = self.trial(engine)
        ruling = decide(transaction(AUTOMATIC, mail_from="", recipients=(path,), login=""), engine)
        (answer,) = ruling.answers
        assert (answer.id, answer.ref) == (engine.keyring.trial_id(ref), ref)
        assert ruling.edits.removed_recipients == (path,)
        assert ruling.edits.added_recipients == ()
        assert [trace.recipient_count for trace in ruling.traces] == [0]

    def test_the_notifier_s_answer_to_it_leaves_a_trace_and_reaches_nobody(
        self, engine: Engine, transaction: Make
    ) -> None:
        _, path = self.trial(engine)
        own = token_path(engine, new_ref())
        ruling = decide(
            transaction(AUTOMATIC, mail_from=own, recipients=(path,), login="", client="127.0.0.1"), engine
        )
        assert not ruling.answers
        assert ruling.edits.removed_recipients == (path,)
        assert [trace.own for trace in ruling.traces] == [True]

    def test_own_mail_to_people_keeps_its_recipients(self, engine: Engine, transaction: Make) -> None:
        own = token_path(engine, new_ref())
        paths = ("<mallory@campus.example>", token_path(engine, new_ref()))
        notice = transaction(AUTOMATIC, mail_from=own, recipients=paths, login="", client="127.0.0.1")
        ruling = decide(notice, engine)
        assert ruling.edits.removed_recipients == ()
