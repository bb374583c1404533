"""The disposition of a message, without I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stopit_core.decision.context import DecisionContext
from stopit_core.decision.disposition import Disposition, may_be_flag, precheck
from stopit_core.decision.disposition import dispose as dispose_checked
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


def dispose(transaction: Transaction, context: DecisionContext) -> Disposition:
    return dispose_checked(transaction, precheck(transaction, context), context)


def flag_of(transaction: Transaction, context: DecisionContext) -> FlagReport:
    disposition = dispose(transaction, context)
    assert disposition.flag is not None
    assert not disposition.answers
    return disposition.flag


def token_path(context: DecisionContext, ref: str) -> str:
    return f"<stopit+{context.keyring.token(ref)}@campus.example>"


class TestFlag:
    def test_a_members_reply_is_withheld_from_everyone(self, context: DecisionContext, transaction: Make) -> None:
        paths = ("<Mallory@Campus.Example>", "mallory+x@campus.example", "<list@lists.example>")
        disposition = dispose(transaction(recipients=paths), context)
        assert disposition.flag == FlagReport(
            id=disposition.flag.id if disposition.flag else "",
            at=1000.0,
            queue_id="4Xabc",
            channel=Channel.REPLY,
            command=Command.FLAG,
            reporter="vera@campus.example",
            reporter_assurance=Assurance.AUTHENTICATED,
            originals=(Original(context.keyring.message("original@campus.example")),),
            withheld=3,
        )
        assert disposition.edits.removed_recipients == paths
        assert disposition.edits.added_recipients == (STAFF,)
        assert disposition.edits.added_fields == (("X-Stopit-Report", disposition.flag.id), ("X-Stopit-Flag", "flag"))

    def test_the_trace_of_a_withheld_reply_names_nobody_it_was_kept_from(
        self, context: DecisionContext, transaction: Make
    ) -> None:
        (trace,) = dispose(transaction(), context).traces
        assert not trace.received_by(context.people.digest("mallory@campus.example"))
        assert trace.received_by(context.people.digest(STAFF))

    def test_the_same_recipient_twice_is_removed_once(self, context: DecisionContext, transaction: Make) -> None:
        disposition = dispose(transaction(recipients=("<m@x.example>", "<m@x.example>")), context)
        assert disposition.edits.removed_recipients == ("<m@x.example>",)

    @pytest.mark.parametrize(
        "staff", ["<staff@campus.example>", "STAFF@campus.example", "<Staff+tag@Campus.example>"]
    )
    def test_staff_among_the_recipients_stay_and_are_not_added(
        self, context: DecisionContext, transaction: Make, staff: str
    ) -> None:
        disposition = dispose(transaction(recipients=("<m@x.example>", staff)), context)
        assert disposition.edits.removed_recipients == ("<m@x.example>",)
        assert disposition.edits.added_recipients == ()

    def test_deliver_leaves_the_recipients(
        self, context_with: Callable[..., DecisionContext], transaction: Make
    ) -> None:
        disposition = dispose(transaction(), context_with(reply="deliver"))
        assert disposition.flag is not None
        assert disposition.flag.withheld == 0
        assert disposition.edits.removed_recipients == ()
        assert disposition.edits.added_recipients == (STAFF,)

    def test_deliver_still_puts_staff_in_place_of_the_report_address(
        self, context_with: Callable[..., DecisionContext], transaction: Make
    ) -> None:
        made = transaction(fields=TO_REPORT, recipients=(REPORT, "<friend@x.example>"))
        edits = dispose(made, context_with(reply="deliver")).edits
        assert (edits.removed_recipients, edits.added_recipients) == ((REPORT,), (STAFF,))

    def test_observe_reports_and_changes_nothing(
        self, context_with: Callable[..., DecisionContext], transaction: Make
    ) -> None:
        forged = (*TO_REPORT, ("X-Stopit-Report", "1"))
        observing = context_with(mode="observe")
        for made in (transaction(), transaction(fields=forged, recipients=(REPORT,), login="")):
            disposition = dispose(made, observing)
            assert disposition.flag is not None
            assert disposition.flag.observed
            assert disposition.flag.withheld == 0
            assert not disposition.edits

    def test_a_retry_makes_the_same_report(self, context: DecisionContext, transaction: Make) -> None:
        first = flag_of(transaction(queue_id="4Xa", at=1000.0), context)
        assert first.id == flag_of(transaction(queue_id="4Xb", at=1300.0), context).id
        assert first.id != flag_of(transaction(login="walt"), context).id

    def test_without_a_message_id_two_flags_are_two(
        self, context: DecisionContext, transaction: Make, reply: tuple[tuple[str, str], ...]
    ) -> None:
        fields = [pair for pair in reply if pair[0] != "Message-ID"]
        first = flag_of(transaction(fields=fields), context)
        assert first.id != flag_of(transaction(fields=fields, queue_id="4Xb"), context).id

    def test_only_a_flag_that_carries_originals_says_that_it_was_cut(
        self, context: DecisionContext, transaction: Make
    ) -> None:
        assert not flag_of(transaction(truncated=True), context).truncated
        assert flag_of(transaction(fields=TO_REPORT, recipients=(REPORT,), truncated=True), context).truncated

    def test_old_fields_of_ours_are_taken_from_a_staff_copy(
        self, context: DecisionContext, transaction: Make, reply: tuple[tuple[str, str], ...]
    ) -> None:
        edits = dispose(transaction(fields=[*reply, ("X-Stopit-Flag", "urgent")]), context).edits
        assert edits.removed_fields == (("x-stopit-flag", 1),)

    def test_an_unusable_login_is_still_withheld(self, context: DecisionContext, transaction: Make) -> None:
        disposition = dispose(transaction(login="\ufffd"), context)
        assert disposition.edits.removed_recipients == ("<Mallory@Campus.Example>",)


class TestReportAddressFromOutside:
    def test_only_the_report_address_is_replaced(self, context: DecisionContext, transaction: Make) -> None:
        made = transaction(fields=TO_REPORT, login="", recipients=("<friend@x.example>", "<StopIt@campus.example>"))
        disposition = dispose(made, context)
        assert disposition.edits.removed_recipients == ("<StopIt@campus.example>",)
        assert disposition.edits.added_recipients == (STAFF,)
        assert disposition.flag is not None
        assert disposition.flag.withheld == 1

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
        self, context: DecisionContext, transaction: Make, extra: Any, address: str, assurance: Assurance
    ) -> None:
        flag = flag_of(transaction(fields=(*TO_REPORT, *extra), login="", recipients=(REPORT,)), context)
        assert (flag.reporter, flag.reporter_assurance) == (address, assurance)

    def test_without_a_usable_from_nobody_is_named(self, context: DecisionContext, transaction: Make) -> None:
        fields = (("From", "undisclosed"), *TO_REPORT[1:])
        flag = flag_of(transaction(fields=fields, login="", recipients=(REPORT,)), context)
        assert (flag.reporter, flag.reporter_assurance) == ("", Assurance.UNVERIFIED)

    def test_a_stranger_cannot_use_up_a_members_report_id(self, context: DecisionContext, transaction: Make) -> None:
        members = transaction(fields=TO_REPORT, recipients=(REPORT,))
        strangers = transaction(fields=TO_REPORT, recipients=(REPORT,), login="")
        assert flag_of(members, context).id != flag_of(strangers, context).id

    def test_the_mail_from_of_a_relay_names_the_reporter(self, context: DecisionContext, transaction: Make) -> None:
        made = transaction(fields=TO_REPORT, recipients=(REPORT,), login="", relay=True)
        flag = flag_of(made, context)
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
    def test_it_is_left_unchanged(self, context: DecisionContext, transaction: Make, changes: dict[str, Any]) -> None:
        disposition = dispose(transaction(**changes), context)
        assert disposition.flag is None
        assert not disposition.answers
        assert not disposition.edits
        assert len(disposition.traces) == 1


class TestAnswer:
    PERSON = (("From", "vera@campus.example"), ("Message-ID", "<a@campus.example>"), ("Subject", "Re: case"))

    def test_a_persons_answer_goes_to_staff(self, context: DecisionContext, transaction: Make) -> None:
        ref = new_ref()
        path = token_path(context, ref).upper()
        made = transaction(fields=self.PERSON, body=b"cancel\r\n", recipients=(path, "<x@x.example>"))
        disposition = dispose(made, context)
        (answer,) = disposition.answers
        assert (answer.ref, answer.author, answer.null_sender) == (ref, "vera@campus.example", False)
        assert answer.raw.endswith(b"Subject: Re: case\r\n\r\ncancel\r\n")
        assert disposition.flag is None
        assert (disposition.edits.removed_recipients, disposition.edits.added_recipients) == ((path,), (STAFF,))

    @pytest.mark.parametrize(
        "changes",
        [{"mail_from": ""}, {"fields": (*PERSON, ("Auto-Submitted", "auto-replied"))}],
        ids=["bounce", "vacation"],
    )
    def test_a_programs_answer_goes_to_nobody(
        self, context: DecisionContext, transaction: Make, changes: dict[str, Any]
    ) -> None:
        path = token_path(context, new_ref())
        made = {"fields": self.PERSON, **changes, "login": "", "recipients": (path,)}
        disposition = dispose(transaction(**made), context)
        assert len(disposition.answers) == 1
        assert disposition.answers[0].author == ""
        assert (disposition.edits.removed_recipients, disposition.edits.added_recipients) == ((path,), ())

    def test_the_keyword_to_a_reply_address_alone_is_an_answer(
        self, context: DecisionContext, transaction: Make
    ) -> None:
        disposition = dispose(transaction(recipients=(token_path(context, new_ref()),)), context)
        assert disposition.flag is None
        assert len(disposition.answers) == 1

    def test_a_flag_to_others_too_is_withheld_from_all(self, context: DecisionContext, transaction: Make) -> None:
        paths = (token_path(context, new_ref()), "<mallory@campus.example>")
        disposition = dispose(transaction(recipients=paths), context)
        assert disposition.flag is not None
        assert disposition.edits.removed_recipients == paths

    def test_two_tokens_are_two_answers(self, context: DecisionContext, transaction: Make) -> None:
        refs = (new_ref(), new_ref())
        made = transaction(fields=self.PERSON, recipients=[token_path(context, ref) for ref in refs])
        answers = dispose(made, context).answers
        assert tuple(answer.ref for answer in answers) == refs
        assert len({answer.id for answer in answers}) == 2

    def test_a_token_that_does_not_hold_is_the_report_address(
        self, context: DecisionContext, transaction: Make
    ) -> None:
        made = transaction(fields=TO_REPORT, login="", recipients=(f"<stopit+{'a' * 32}@campus.example>",))
        assert flag_of(made, context).channel is Channel.REPORT_ADDRESS

    def test_the_start_of_a_long_answer_is_kept(self, context: DecisionContext, transaction: Make) -> None:
        made = transaction(fields=self.PERSON, body=b"x" * 500_000, recipients=(token_path(context, new_ref()),))
        (answer,) = dispose(made, context).answers
        assert isinstance(answer, AnswerReport)
        assert len(answer.raw) == 64 * 1024

    def test_observed_answers_keep_their_recipients(
        self, context_with: Callable[..., DecisionContext], transaction: Make
    ) -> None:
        observing = context_with(mode="observe")
        disposition = dispose(
            transaction(fields=self.PERSON, recipients=(token_path(observing, new_ref()),)), observing
        )
        assert disposition.answers[0].observed
        assert not disposition.edits


class TestOwnMail:
    def make(self, context: DecisionContext, transaction: Make, **changes: Any) -> Transaction:
        own: dict[str, Any] = {
            "fields": (("From", "stopit@campus.example"), ("Message-ID", "<n@campus.example>")),
            "mail_from": token_path(context, new_ref())[1:-1],
            "login": "",
            "client": "127.0.0.1",
        }
        return transaction(**{**own, **changes})

    def test_its_trace_says_so_and_is_waited_for(self, context: DecisionContext, transaction: Make) -> None:
        made = self.make(context, transaction)
        assert precheck(made, context).needs_end_of_message
        disposition = dispose(made, context)
        assert disposition.flush
        assert not disposition.edits
        assert [trace.own for trace in disposition.traces] == [True]

    def test_it_is_never_a_flag(self, context: DecisionContext, transaction: Make, reply: Any) -> None:
        assert dispose(self.make(context, transaction, fields=reply, relay=True), context).flag is None

    @pytest.mark.parametrize("changes", [{"client": "192.0.2.66"}, {"login": "mallory"}], ids=["outside", "a member"])
    def test_a_reader_of_a_notice_cannot_make_mail_of_ours(
        self, context: DecisionContext, transaction: Make, changes: dict[str, Any]
    ) -> None:
        disposition = dispose(self.make(context, transaction, **changes), context)
        assert not disposition.flush
        assert [trace.own for trace in disposition.traces] == [False]

    def test_a_token_that_does_not_hold_is_not_ours(self, context: DecisionContext, transaction: Make) -> None:
        made = self.make(context, transaction, mail_from=f"stopit+{'a' * 32}@campus.example")
        assert [trace.own for trace in dispose(made, context).traces] == [False]


class TestForgedFields:
    FORGED = (
        ("X-Stopit-Report", "1"),
        ("Subject", "x"),
        ("x-stopit-REPORT", "2"),
        ("X-Stopit-Flag", "urgent"),
        ("X-Stopit", "flag"),
        ("X-Stopit-Report", "3"),
    )

    def test_they_are_removed_from_the_last_to_the_first(self, context: DecisionContext, transaction: Make) -> None:
        made = transaction(fields=self.FORGED, login="")
        assert precheck(made, context).needs_end_of_message
        removed = dispose(made, context).edits.removed_fields
        assert removed == (
            ("x-stopit-report", 3),
            ("x-stopit-flag", 1),
            ("x-stopit-report", 2),
            ("x-stopit-report", 1),
        )

    def test_a_members_are_left(self, context: DecisionContext, transaction: Make) -> None:
        made = transaction(fields=(("X-Stopit-Report", "1"),))
        assert not precheck(made, context).needs_end_of_message
        assert not dispose(made, context).edits


class TestPrecheck:
    def test_ordinary_mail_goes_at_once(
        self, context: DecisionContext, transaction: Make, ordinary: Any, reply: Any
    ) -> None:
        assert not precheck(transaction(fields=ordinary), context).needs_end_of_message
        assert not precheck(transaction(fields=reply, login=""), context).needs_end_of_message
        assert not precheck(transaction(fields=[*reply, ("List-Id", "<l.example>")]), context).needs_end_of_message

    def test_what_may_matter_is_read_so_far(self, context: DecisionContext, transaction: Make) -> None:
        assert precheck(transaction(), context).body_bytes == 256 * 1024
        assert precheck(transaction(recipients=(REPORT,)), context).body_bytes == 1024 * 1024
        assert precheck(transaction(recipients=(token_path(context, new_ref()),)), context).body_bytes == 64 * 1024


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
    context: DecisionContext,
    transaction: Make,
    names: set[str],
    recipients: tuple[str, ...],
    login: str,
    expected: bool,
) -> None:
    envelope = transaction(recipients=recipients, login=login).envelope
    assert may_be_flag(envelope, frozenset(names), context) is expected


class TestSelfTest:
    def self_test(self, context: DecisionContext) -> tuple[str, str]:
        ref = context.keyring.new_self_test_ref()
        return ref, token_path(context, ref)

    @pytest.mark.parametrize("mode", ["enforce", "observe"])
    def test_it_makes_a_report_and_reaches_nobody_in_any_mode(
        self, context_with: Callable[..., DecisionContext], transaction: Make, mode: str
    ) -> None:
        context = context_with(mode=mode)
        ref, path = self.self_test(context)
        disposition = dispose(transaction(AUTOMATIC, mail_from="", recipients=(path,), login=""), context)
        (answer,) = disposition.answers
        assert (answer.id, answer.ref) == (context.keyring.self_test_id(ref), ref)
        assert disposition.edits.removed_recipients == (path,)
        assert disposition.edits.added_recipients == ()
        assert [trace.recipient_count for trace in disposition.traces] == [0]

    def test_the_notifier_s_answer_to_it_leaves_a_trace_and_reaches_nobody(
        self, context: DecisionContext, transaction: Make
    ) -> None:
        _, path = self.self_test(context)
        own = token_path(context, new_ref())
        disposition = dispose(
            transaction(AUTOMATIC, mail_from=own, recipients=(path,), login="", client="127.0.0.1"), context
        )
        assert not disposition.answers
        assert disposition.edits.removed_recipients == (path,)
        assert [trace.own for trace in disposition.traces] == [True]

    def test_own_mail_to_people_keeps_its_recipients(self, context: DecisionContext, transaction: Make) -> None:
        own = token_path(context, new_ref())
        paths = ("<mallory@campus.example>", token_path(context, new_ref()))
        notice = transaction(AUTOMATIC, mail_from=own, recipients=paths, login="", client="127.0.0.1")
        disposition = dispose(notice, context)
        assert disposition.edits.removed_recipients == ()
