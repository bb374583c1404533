"""The table of the policy, row by row, and invariants of any combination of facts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopit_core.config import PolicyRules, SingleRecipient
from stopit_core.decision.identify import Finding, Identification
from stopit_core.decision.policy import (
    Decision,
    Outcome,
    PolicyFacts,
    PriorNotice,
    Reason,
    ReportCounts,
    decide,
    pairs,
)
from stopit_core.identity.people import NOBODY, Person
from stopit_core.model import Assurance, Command

NOW = 1_000_000.0
DAY = 86400.0
RULES = PolicyRules()
MALLORY = Person("mallory@campus.example", Assurance.AUTHENTICATED)
VERA = Person("vera@campus.example", Assurance.AUTHENTICATED)
FACTS = PolicyFacts(
    now=NOW,
    draw=0.0,
    reporter=VERA,
    command=Command.FLAG,
    identification=Identification(Finding.IDENTIFIED, MALLORY, NOW - 3600, 2),
)


def found(finding: Finding, sender: Person = NOBODY, recipients: int = 2) -> Identification:
    return Identification(finding, sender, NOW - 3600, recipients)


def with_history(**values: object) -> PolicyFacts:
    return replace(FACTS, report_counts=ReportCounts(**values))  # type: ignore[arg-type]


ONE_RECIPIENT = replace(FACTS, identification=found(Finding.IDENTIFIED, MALLORY, 1))
SENT_YESTERDAY = PriorNotice(NOW - DAY, NOW - DAY)
WRITTEN_AFTER = replace(FACTS, report_counts=ReportCounts(notice=PriorNotice(NOW - DAY, NOW - 7200)))


@pytest.mark.parametrize(
    ("facts", "rules", "reason"),
    [
        (FACTS, RULES, Reason.NOTICE_DUE),
        (replace(FACTS, identification=found(Finding.NO_ORIGINAL)), RULES, Reason.NO_ORIGINAL),
        (replace(FACTS, identification=found(Finding.IDENTIFIED, VERA)), RULES, Reason.OWN_MESSAGE),
        (replace(FACTS, identification=found(Finding.NOT_RECEIVED, VERA)), RULES, Reason.OWN_MESSAGE),
        (replace(FACTS, identification=found(Finding.OWN_SERVICE)), RULES, Reason.SERVICE_MESSAGE),
        (replace(FACTS, reporter=Person(VERA.address, Assurance.WEAK)), RULES, Reason.REPORTER_NOT_VERIFIED),
        (replace(FACTS, identification=found(Finding.NO_TRACE)), RULES, Reason.NO_TRACE),
        (replace(FACTS, identification=found(Finding.AMBIGUOUS)), RULES, Reason.AMBIGUOUS),
        (replace(FACTS, identification=found(Finding.NOT_RECEIVED, MALLORY)), RULES, Reason.NOT_A_RECIPIENT),
        (
            replace(FACTS, identification=found(Finding.IDENTIFIED, Person(MALLORY.address, Assurance.VERIFIED))),
            RULES,
            Reason.SENDER_NOT_SURE,
        ),
        (FACTS, RULES.model_copy(update={"exclude": (MALLORY.address,)}), Reason.SENDER_EXCLUDED),
        (replace(FACTS, excluded=frozenset({MALLORY.address})), RULES, Reason.SENDER_EXCLUDED),
        (with_history(reports_by_reporter=RULES.reporter_daily_cap), RULES, Reason.REPORTER_CAP),
        (with_history(reports_by_reporter=RULES.reporter_daily_cap - 1), RULES, Reason.NOTICE_DUE),
        (with_history(reports_about_sender=RULES.sender_daily_cap), RULES, Reason.SENDER_CAP),
        (with_history(sender_reported_reporter=True), RULES, Reason.MUTUAL),
        (replace(FACTS, command=Command.URGENT), RULES, Reason.URGENT),
        (replace(FACTS, restored_at=NOW - 60), RULES, Reason.RESTORED),
        (replace(FACTS, restored_at=NOW - 60, agreed=True), RULES, Reason.RESTORED),
        (replace(FACTS, restored_at=NOW - 3600), RULES, Reason.RESTORED),
        (replace(FACTS, restored_at=NOW - 3601), RULES, Reason.NOTICE_DUE),
        (replace(FACTS, restored_at=NOW - 60, command=Command.RECORD), RULES, Reason.RECORD_ASKED),
        (replace(FACTS, command=Command.RECORD), RULES, Reason.RECORD_ASKED),
        (with_history(notice=PriorNotice(NOW - 60, None)), RULES, Reason.NOTICE_PENDING),
        (with_history(notice=PriorNotice(NOW - 90, NOW - 60)), RULES, Reason.NOTICE_SENT),
        (WRITTEN_AFTER, RULES, Reason.AGAIN_AFTER_NOTICE),
        (replace(WRITTEN_AFTER, command=Command.RECORD), RULES, Reason.AGAIN_AFTER_NOTICE),
        (with_history(notice=PriorNotice(NOW - 31 * DAY, NOW - 31 * DAY)), RULES, Reason.NOTICE_DUE),
        (ONE_RECIPIENT, RULES, Reason.NOTICE_DUE),
        (
            ONE_RECIPIENT,
            RULES.model_copy(update={"single_recipient": SingleRecipient.ASK}),
            Reason.SINGLE_RECIPIENT_ASK,
        ),
        (
            ONE_RECIPIENT,
            RULES.model_copy(update={"single_recipient": SingleRecipient.REVIEW}),
            Reason.SINGLE_RECIPIENT_REVIEW,
        ),
        (
            replace(ONE_RECIPIENT, agreed=True),
            RULES.model_copy(update={"single_recipient": SingleRecipient.ASK}),
            Reason.REPORTER_AGREED,
        ),
    ],
)
def test_the_table(facts: PolicyFacts, rules: PolicyRules, reason: Reason) -> None:
    decision = decide(facts, rules)
    assert decision.reason is reason
    assert (decision.notice_at is not None) == (decision.outcome is Outcome.NOTICE)


@pytest.mark.parametrize(
    ("facts", "also"),
    [
        (FACTS, None),
        (replace(FACTS, identification=found(Finding.NO_ORIGINAL)), Reason.NO_ORIGINAL),
        (replace(FACTS, identification=found(Finding.IDENTIFIED, VERA)), Reason.OWN_MESSAGE),
        (replace(FACTS, identification=found(Finding.OWN_SERVICE)), Reason.SERVICE_MESSAGE),
        (replace(FACTS, reporter=Person(VERA.address, Assurance.WEAK)), Reason.REPORTER_NOT_VERIFIED),
        (replace(FACTS, identification=found(Finding.NO_TRACE)), Reason.NO_TRACE),
        (replace(FACTS, identification=found(Finding.NOT_RECEIVED, MALLORY)), Reason.NOT_A_RECIPIENT),
        (with_history(reports_by_reporter=RULES.reporter_daily_cap), Reason.REPORTER_CAP),
        (with_history(reports_about_sender=RULES.sender_daily_cap), Reason.SENDER_CAP),
        (with_history(sender_reported_reporter=True), Reason.MUTUAL),
        (WRITTEN_AFTER, Reason.AGAIN_AFTER_NOTICE),
        (with_history(notice=PriorNotice(NOW - 60, None)), None),
    ],
)
def test_urgent_comes_first_and_names_what_else_holds(facts: PolicyFacts, also: Reason | None) -> None:
    decision = decide(replace(facts, command=Command.URGENT), RULES)
    assert decision == Decision(Reason.URGENT, also=also)
    assert decision.outcome is Outcome.STAFF_REVIEW


@pytest.mark.parametrize(("draw", "minutes"), [(0.0, 15), (0.5, 37.5), (0.999999999, 60)])
def test_the_notice_leaves_within_the_delay(draw: float, minutes: float) -> None:
    notice_at = decide(replace(FACTS, draw=draw), RULES).notice_at
    assert notice_at == pytest.approx(NOW + minutes * 60, abs=1)


def test_every_reason_has_one_outcome_and_a_label() -> None:
    assert {reason for _, reason in pairs()} == {reason.value for reason in Reason}


PEOPLE = st.builds(Person, st.sampled_from(["", MALLORY.address, VERA.address]), st.sampled_from(Assurance))
NOTICES = st.none() | st.builds(PriorNotice, st.just(NOW - DAY), st.none() | st.floats(NOW - 60 * DAY, NOW))
ANY_FACTS = st.builds(
    PolicyFacts,
    now=st.just(NOW),
    draw=st.floats(0, 1, exclude_max=True),
    reporter=PEOPLE,
    command=st.sampled_from(Command),
    identification=st.builds(
        Identification, st.sampled_from(Finding), PEOPLE, st.floats(NOW - 60 * DAY, NOW), st.integers(0, 5)
    ),
    report_counts=st.builds(ReportCounts, st.integers(0, 60), st.integers(0, 60), st.booleans(), NOTICES),
    agreed=st.booleans(),
    excluded=st.sampled_from([frozenset(), frozenset({MALLORY.address})]),
)


@given(ANY_FACTS, st.sampled_from(SingleRecipient))
def test_no_notice_without_everything_that_a_notice_needs(facts: PolicyFacts, single: SingleRecipient) -> None:
    rules = RULES.model_copy(update={"single_recipient": single})
    decision = decide(facts, rules)
    if decision.outcome is not Outcome.NOTICE:
        return
    known = facts.identification
    assert known.finding is Finding.IDENTIFIED
    assert known.sender.assurance >= rules.minimum_assurance
    assert facts.reporter.assurance >= Assurance.VERIFIED
    assert known.sender.address != facts.reporter.address
    assert facts.command is Command.FLAG
    prior = facts.report_counts.notice
    assert prior is None or (prior.sent_at is not None and facts.now - prior.sent_at >= rules.cooldown)
    assert known.recipients != 1 or single is SingleRecipient.WARN or facts.agreed


@given(ANY_FACTS, st.sampled_from(SingleRecipient))
def test_urgent_is_always_staffs_at_once(facts: PolicyFacts, single: SingleRecipient) -> None:
    rules = RULES.model_copy(update={"single_recipient": single})
    asked = decide(replace(facts, command=Command.URGENT), rules)
    other = decide(replace(facts, command=Command.FLAG), rules)

    assert (asked.reason, asked.notice_at) == (Reason.URGENT, None)
    assert other.reason is not Reason.URGENT
    assert asked.also in (None, other.reason)
