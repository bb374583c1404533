"""A session, driven callback by callback: its replies, and the order of events."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import Milter
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from stopit_core.decision.context import DecisionContext
from stopit_core.errors import Transient
from stopit_core.identity.keys import new_ref
from stopit_core.model import AnswerReport
from stopit_core.stores.queue.spool import StoredIn

CALLBACKS = ("connect", "envfrom", "envrcpt", "header", "eoh", "body", "eom")
MALLORY = ("<Mallory@Campus.Example>",)


def flag(mta: Any, reply: Any, **changes: Any) -> int:
    message: dict[str, Any] = {"fields": reply, "body": b"stopit\r\n", "login": "vera"}
    return mta.send(MALLORY, **{**message, **changes})


class TestNegotiation:
    def test_only_what_is_needed(self, mta: Any) -> None:
        actions, steps, *_ = mta.options
        assert actions == Milter.ADDHDRS | Milter.CHGHDRS | Milter.ADDRCPT | Milter.DELRCPT
        left_out = Milter.P_NOHELO | Milter.P_NODATA | Milter.P_NOUNKNOWN
        unanswered = Milter.P_NR_CONN | Milter.P_NR_MAIL | Milter.P_NR_RCPT | Milter.P_NR_HDR
        assert steps & left_out == left_out
        assert steps & unanswered == unanswered
        needed = (
            Milter.P_NOCONNECT
            | Milter.P_NOMAIL
            | Milter.P_NORCPT
            | Milter.P_NOHDRS
            | Milter.P_NOEOH
            | Milter.P_NOBODY
        )
        assert not steps & (needed | Milter.P_NR_EOH | Milter.P_NR_BODY | Milter.P_RCPT_REJ | Milter.P_HDR_LEADSPC)
        assert steps & Milter.P_SKIP

    def test_an_old_mta_is_answered_at_each_step(self, mta_of: Any, context: DecisionContext, ordinary: Any) -> None:
        mta = mta_of(context, 0)
        assert mta.session.envfrom(mta, b"<>") == Milter.CONTINUE
        assert mta.session.header("Subject", b"x") == Milter.CONTINUE
        assert mta.send(MALLORY, ordinary) == Milter.ACCEPT
        mta = mta_of(context)
        assert mta.session.envfrom(mta, b"<>") == Milter.NOREPLY


class TestOrdinaryMail:
    def test_accepted_at_end_of_headers_with_a_trace(
        self, mta: Any, doubles: Any, counted: Any, ordinary: Any
    ) -> None:
        assert mta.send(MALLORY, ordinary) == Milter.ACCEPT
        assert doubles.events == [("trace",)]
        assert doubles.traces[0].client == "192.0.2.9"
        assert counted("stopit_milter_messages_total", result="accepted") == 1
        assert counted("stopit_milter_message_duration_seconds_sum") > 0

    def test_the_next_message_begins_anew(self, mta: Any, doubles: Any, ordinary: Any, reply: Any) -> None:
        flag(mta, reply)
        assert mta.send(["<x@x.example>"], ordinary, client=None) == Milter.ACCEPT
        second = doubles.traces[-1]
        assert (second.login, second.recipient_count, second.client) == ("", 1, "192.0.2.9")

    def test_without_macros_and_client(self, mta: Any, doubles: Any, ordinary: Any) -> None:
        mta.macros["{client_addr}"] = "192.0.2.80"
        assert mta.send(MALLORY, ordinary, client=None, queue_id=None) == Milter.ACCEPT
        assert doubles.traces[0].relay
        assert doubles.traces[0].queue_id == ""


class TestFlag:
    def test_order_is_report_removals_staff(self, mta: Any, doubles: Any, reply: Any, counted: Any) -> None:
        assert flag(mta, reply) == Milter.ACCEPT
        report = doubles.flag.id
        assert doubles.events == [
            ("report", report),
            ("delrcpt", "<Mallory@Campus.Example>"),
            ("addheader", "X-Stopit-Report", report),
            ("addheader", "X-Stopit-Flag", "flag"),
            ("addrcpt", "<staff@campus.example>"),
            ("trace",),
        ]
        assert counted("stopit_flags_total", channel="reply", result="queued") == 1
        assert counted("stopit_milter_messages_total", result="flagged") == 1

    def test_into_the_spool(self, mta: Any, doubles: Any, reply: Any, counted: Any) -> None:
        doubles.where = StoredIn.SPOOL
        assert flag(mta, reply) == Milter.ACCEPT
        assert counted("stopit_flags_total", channel="reply", result="spooled") == 1

    def test_flag_that_cannot_be_stored_is_deferred(
        self, mta: Any, doubles: Any, reply: Any, counted: Any, away: Transient
    ) -> None:
        doubles.fault = away
        assert flag(mta, reply) == Milter.TEMPFAIL
        assert doubles.events == []
        assert mta.replied[:2] == ("451", "4.7.1")
        assert counted("stopit_flags_total", channel="reply", result="refused") == 1
        assert counted("stopit_milter_messages_total", result="tempfailed") == 1

    @pytest.mark.parametrize("failing", ["delrcpt", "addheader", "addrcpt"])
    def test_a_half_done_edit_is_never_accepted(
        self, mta: Any, doubles: Any, reply: Any, counted: Any, failing: str
    ) -> None:
        mta.failing = failing
        assert flag(mta, reply) == Milter.TEMPFAIL
        mta.failing = ""
        assert flag(mta, reply) == Milter.ACCEPT
        assert len({report.id for report in doubles.reports}) == 1
        assert counted("stopit_milter_faults_total", stage="edit") == 1

    def test_a_recipient_that_cannot_be_named_is_not_delivered_to(self, mta: Any, reply: Any) -> None:
        message = {"fields": reply, "body": b"stopit\r\n", "login": "vera"}
        assert mta.send([b"<mallory\xff@campus.example>"], **message) == Milter.TEMPFAIL

    def test_observe_changes_nothing_whatever_fails(
        self, mta_of: Any, context_with: Any, doubles: Any, reply: Any, away: Transient
    ) -> None:
        mta = mta_of(context_with(mode="observe"))
        assert flag(mta, reply) == Milter.ACCEPT
        assert doubles.flag.observed
        assert [entry[0] for entry in doubles.events] == ["report", "trace"]
        doubles.fault = away
        assert flag(mta, reply) == Milter.ACCEPT
        doubles.fault = RuntimeError("broken")
        assert flag(mta, reply) == Milter.ACCEPT

    def test_a_login_that_cannot_be_read_is_withheld_for_nobody(self, mta: Any, doubles: Any, reply: Any) -> None:
        assert flag(mta, reply, login=b"ver\xff") == Milter.ACCEPT
        assert ("delrcpt", "<Mallory@Campus.Example>") in doubles.events
        assert not doubles.flag.reporter.startswith("ver")

    def test_the_body_comes_in_pieces(self, mta: Any, doubles: Any, reply: Any) -> None:
        assert flag(mta, reply, body=b"stopit\r\n\r\n> you\r\n", block=3) == Milter.ACCEPT
        assert doubles.flag.withheld == 1

    def test_no_more_of_the_body_than_is_looked_at(
        self, mta: Any, mta_of: Any, context: DecisionContext, reply: Any
    ) -> None:
        assert flag(mta, reply, body=b"stopit\r\n\r\n" + b"x" * 1_000_000) == Milter.ACCEPT
        assert len(mta.session._message.body) == 256 * 1024
        assert mta.session.body(mta, b"more") == Milter.SKIP
        old = mta_of(context, 0)
        assert flag(old, reply, body=b"stopit\r\n\r\n" + b"x" * 1_000_000) == Milter.ACCEPT
        assert old.session.body(old, b"more") == Milter.CONTINUE

    def test_the_log_names_no_address(
        self, mta: Any, reply: Any, log_lines: io.StringIO, context: DecisionContext
    ) -> None:
        flag(mta, reply)
        (line,) = log_lines.getvalue().splitlines()
        assert "queue_id=4Xabc" in line
        assert context.keyring.log("vera@campus.example") in line
        assert "@" not in line


class TestOtherMailThatEndsLater:
    def test_an_answer(self, mta: Any, doubles: Any, context: DecisionContext, ordinary: Any, counted: Any) -> None:
        path = f"<stopit+{context.keyring.token(new_ref())}@campus.example>"
        assert mta.send([path], ordinary, body=b"cancel\r\n", login="mallory") == Milter.ACCEPT
        assert isinstance(doubles.reports[0], AnswerReport)
        assert [entry[0] for entry in doubles.events] == ["report", "delrcpt", "addrcpt", "trace"]
        assert counted("stopit_milter_messages_total", result="answered") == 1

    def test_an_answer_that_is_kept_nowhere(
        self, mta: Any, doubles: Any, context: DecisionContext, ordinary: Any, away: Transient
    ) -> None:
        doubles.fault = away
        path = f"<stopit+{context.keyring.token(new_ref())}@campus.example>"
        assert mta.send([path], ordinary) == Milter.TEMPFAIL

    @pytest.mark.parametrize("in_time", [True, False])
    def test_own_mail_waits_for_its_trace_but_goes_in_any_case(
        self, mta: Any, doubles: Any, context: DecisionContext, ordinary: Any, in_time: bool, counted: Any
    ) -> None:
        doubles.flushes = in_time
        own = f"<stopit+{context.keyring.token(new_ref())}@campus.example>".encode()
        assert mta.send(["<vera@campus.example>"], ordinary, mail_from=own, client="127.0.0.1") == Milter.ACCEPT
        assert doubles.events == [("trace",), ("flush",)]
        assert doubles.traces[0].own
        assert counted("stopit_milter_faults_total", stage="ledger") == (0 if in_time else 1)

    def test_forged_fields_go_the_highest_number_first(self, mta: Any, doubles: Any, ordinary: Any) -> None:
        fields = (("X-Stopit-Flag", "1"), *ordinary, ("X-STOPIT-FLAG", "2"))
        assert mta.send(MALLORY, fields, body=b"x" * 100_000) == Milter.ACCEPT
        assert doubles.events == [("delheader", "x-stopit-flag", 2), ("delheader", "x-stopit-flag", 1), ("trace",)]

    def test_forged_fields_beyond_every_cap_are_found(self, mta: Any, doubles: Any, ordinary: Any) -> None:
        bulk = [("X-Pad", b"x" * 1000)] * 2000
        assert mta.send(MALLORY, (*ordinary, *bulk, ("X-Stopit-Report", "1"))) == Milter.ACCEPT
        assert ("delheader", "x-stopit-report", 1) in doubles.events


class Broken:
    """A part of the context in which every attribute fails."""

    def __init__(self, fault: BaseException) -> None:
        self._fault = fault

    def __getattr__(self, name: str) -> Any:
        raise self._fault


class TestFaults:
    """Each callback fails, because of a value of libmilter or because of a store."""

    FAULTS = (RuntimeError("x"), KeyboardInterrupt(), SystemExit(1), RecursionError(), MemoryError())

    @pytest.mark.parametrize("step", CALLBACKS)
    def test_mail_that_is_no_flag_passes(
        self, mta: Any, doubles: Any, ordinary: Any, step: str, counted: Any, log_lines: io.StringIO
    ) -> None:
        self.spoil(mta, step)
        match step:
            case "body":
                answer = mta.session.body(mta, None)
            case "eom":
                answer = mta.session.eom(mta)
            case _:
                answer = mta.send(MALLORY, ordinary)
        assert answer == Milter.ACCEPT
        assert not any(entry[0] in ("delrcpt", "addrcpt", "addheader") for entry in doubles.events)

    @pytest.mark.parametrize("step", ["envrcpt", "header", "body"])
    def test_what_may_be_a_members_flag_stays_with_the_client(
        self, mta: Any, reply: Any, step: str, counted: Any, log_lines: io.StringIO
    ) -> None:
        self.spoil(mta, step)
        assert flag(mta, reply) == Milter.TEMPFAIL
        stage = {"envrcpt": "envelope", "header": "header", "body": "body"}[step]
        assert counted("stopit_milter_faults_total", stage=stage) >= 1
        assert "Traceback" in log_lines.getvalue()

    def test_log_of_a_fault_tells_no_address(
        self, mta: Any, doubles: Any, reply: Any, log_lines: io.StringIO
    ) -> None:
        doubles.fault = RuntimeError("no row of 'vera@campus.example'")
        flag(mta, reply)
        said = log_lines.getvalue()
        assert "RuntimeError: no row of" in said
        assert "vera@" not in said

    @pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
    def test_whatever_a_store_raises(
        self, mta: Any, doubles: Any, reply: Any, ordinary: Any, fault: BaseException, counted: Any
    ) -> None:
        doubles.fault = fault
        assert flag(mta, reply) == Milter.TEMPFAIL
        assert counted("stopit_milter_faults_total", stage="report") == 1
        doubles.trace_fault = fault
        assert mta.send(MALLORY, ordinary) == Milter.ACCEPT
        assert counted("stopit_milter_faults_total", stage="ledger") == 1

    def test_a_trace_that_fails_after_the_edits(self, mta: Any, doubles: Any, reply: Any) -> None:
        doubles.trace_fault = RuntimeError("x")
        assert flag(mta, reply) == Milter.TEMPFAIL

    def test_a_reply_that_was_cleared_passes_when_its_trace_fails(self, mta: Any, doubles: Any, reply: Any) -> None:
        doubles.trace_fault = RuntimeError("x")
        assert flag(mta, [*reply, ("List-Id", "<l.example>")]) == Milter.ACCEPT
        assert flag(mta, reply, body=b"thank you\r\n") == Milter.ACCEPT

    @pytest.mark.parametrize("login", ["vera", ""])
    def test_a_macro_that_cannot_be_had(self, mta: Any, reply: Any, ordinary: Any, login: str) -> None:
        assert mta.send(MALLORY, ordinary, login=login, queue_id=RuntimeError("x")) == Milter.ACCEPT  # type: ignore[arg-type]
        expected = Milter.TEMPFAIL if login else Milter.ACCEPT
        assert flag(mta, reply, login=login, queue_id=RuntimeError("x")) == expected

    @pytest.mark.parametrize(("login", "expected"), [("vera", Milter.TEMPFAIL), ("", Milter.ACCEPT)])
    def test_a_fault_while_failing_open(self, mta: Any, login: str, expected: int) -> None:
        mta.macros["{auth_authen}"] = login
        mta.session.envfrom(mta, b"<x@x.example>")
        mta.session._message.context = Broken(RuntimeError("x"))
        assert mta.session.eoh(mta) == expected

    @staticmethod
    def spoil(mta: Any, step: str) -> None:
        """Make one callback fail."""
        plain = getattr(mta.session, step)
        match step:
            case "connect":
                mta.session.connect(2, 7)
            case "eoh":
                mta.macros["i"] = RuntimeError("x")
            case "body" | "envfrom" | "header":
                setattr(mta.session, step, lambda first, _octets: plain(first, None))
            case "envrcpt":
                mta.session.envrcpt = lambda _octets: plain(None)


NAMES = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20),
    st.sampled_from(
        ["Message-ID", "From", "In-Reply-To", "X-Stopit", "X-Stopit-Report", "Content-Type", "References"]
    ),
)
OCTETS = st.binary(max_size=60).map(lambda data: data.replace(b"\0", b""))
MACRO = st.one_of(st.none(), st.text(max_size=10), OCTETS)


@hypothesis_settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fields=st.lists(st.tuples(NAMES, OCTETS), max_size=8),
    recipients=st.lists(OCTETS, max_size=4),
    body=st.binary(max_size=200),
    login=MACRO,
    queue_id=MACRO,
    mail_from=OCTETS,
    client=st.one_of(st.none(), st.text(max_size=10)),
)
def test_hostile_octets_never_raise(mta: Any, counted: Callable[..., float], **message: Any) -> None:
    login, queue_id = message["login"], message["queue_id"]
    answer = mta.send(**{**message, "login": login or "", "queue_id": queue_id})
    assert answer in (Milter.ACCEPT, Milter.TEMPFAIL)
    for stage in ("connect", "envelope", "header", "body", "decide", "report", "ledger"):
        assert counted("stopit_milter_faults_total", stage=stage) == 0


class TestRest:
    def test_what_is_left_out_after_a_fault_stays_left_out(self, mta: Any, reply: Any) -> None:
        plain = mta.session.body
        # An MTA that sends more steps nevertheless.
        mta.session.body = lambda mta, block: (plain(mta, None), Milter.CONTINUE)[1]
        assert flag(mta, reply) == Milter.TEMPFAIL

    def test_actions_that_the_mta_does_not_offer_are_not_asked_for(self, mta: Any, reply: Any) -> None:
        mta.options = [Milter.ADDHDRS, 0x1FFFFF, 0, 0]
        assert mta.session.negotiate(mta.options) == Milter.CONTINUE
        assert mta.options[0] == Milter.ADDHDRS
        assert flag(mta, reply) == Milter.TEMPFAIL  # it cannot be withheld, so it must not pass

    def test_what_is_no_list_of_options_changes_nothing(self, mta: Any) -> None:
        assert mta.session.negotiate([]) == Milter.ALL_OPTS
