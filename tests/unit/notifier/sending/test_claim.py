"""The claim id, and what a claim shows later: a loss of power, or another replication id of the ledger."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopit_core.errors import Transient
from stopit_notifier.sending.claim import HOLD, UNKNOWN, ClaimId, StableReplicationId, same_replication_id

OURS = "0123456789" * 4
OTHER = "fedcba9876" * 4
HERE = ClaimId("mail1.campus.example", "5f0c1a2b-0000", "aaaaaaaa")


@given(st.from_regex(r"[a-z0-9.-]{1,255}", fullmatch=True), st.sampled_from(["", UNKNOWN, OURS]))
def test_claim_fits_its_column(host: str, replication_id: str) -> None:
    assert len(ClaimId(host, HERE.boot, HERE.run).text(replication_id)) <= 64


@pytest.mark.parametrize(
    ("claimed_by", "lost"),
    [
        (HERE.text(""), False),
        (ClaimId(HERE.host, HERE.boot, "bbbbbbbb").text(OURS), False),
        (ClaimId(HERE.host, "99999999-1111", "bbbbbbbb").text(OURS), True),
        (ClaimId("mail2.campus.example", "99999999-1111", "bbbbbbbb").text(""), False),
        ("bbbbbbbb/99999999/mail1.campus.example", True),  # from before claims had a replication id
        ("bbbbbbbb/5f0c1a2b/mail1.campus.example", False),
        ("restore", False),
    ],
)
def test_power_is_lost_where_the_same_host_had_another_boot(claimed_by: str, lost: bool) -> None:
    assert HERE.lost_power_since(claimed_by) is lost


def test_long_name_of_a_host_is_recognised_also_in_an_old_claim() -> None:
    host = "m" * 60
    claim_id = ClaimId(host, HERE.boot, HERE.run)
    assert claim_id.lost_power_since(f"bbbbbbbb/99999999/{host[:46]}")
    assert not claim_id.lost_power_since(claim_id.text(OURS))


@pytest.mark.parametrize(
    ("claimed_by", "now", "same"),
    [
        (HERE.text(""), "", True),
        (HERE.text(OURS), OURS, True),
        (HERE.text(OURS), OTHER, False),
        (HERE.text(UNKNOWN), OURS, False),
        (HERE.text(""), OURS, False),  # Sentinels came in between
        (HERE.text(OURS), "", False),
        ("bbbbbbbb/5f0c1a2b/mail1.campus.example", "", True),
        ("bbbbbbbb/5f0c1a2b/mail1.campus.example", OURS, False),
        ("restore", "", True),
        ("restore", OURS, False),
    ],
)
def test_replication_id_is_the_same_only_where_that_is_known(claimed_by: str, now: str, same: bool) -> None:
    assert same_replication_id(claimed_by, now) is same


class Asked:
    """A ledger's replication id, on a clock that the test sets."""

    def __init__(self, replication_id: str) -> None:
        self.replication_id: str | None = replication_id
        self.now = 500.0
        self.stable = StableReplicationId(self._ask, lambda: self.now)

    def _ask(self) -> str:
        if self.replication_id is None:
            raise Transient("no majority")
        return self.replication_id

    def over(self, seconds: float) -> set[str]:
        """Return the ids that are current at each second of this time."""
        told = set()
        for _ in range(int(seconds)):
            self.now += 1
            told.add(self.stable.current())
        return told


def test_id_of_a_single_server_is_stable_at_once() -> None:
    assert Asked("").over(200) == {""}


def test_id_is_stable_after_a_minute() -> None:
    asked = Asked(OURS)
    assert asked.over(HOLD) == {UNKNOWN}
    asked.over(20)
    assert asked.over(100) == {OURS}


def test_after_a_failover_the_new_id_is_stable_after_a_minute() -> None:
    asked = Asked(OURS)
    asked.over(100)
    asked.replication_id = OTHER
    assert asked.over(HOLD) <= {OURS, UNKNOWN}  # the ledger is asked every 15 seconds
    asked.over(20)
    assert asked.over(100) == {OTHER}


def test_without_an_answer_the_id_is_unknown() -> None:
    asked = Asked(OURS)
    asked.over(100)
    asked.replication_id = None
    asked.over(15)
    assert asked.over(100) == {UNKNOWN}
    asked.replication_id = OURS
    assert asked.over(HOLD) == {UNKNOWN}
    asked.over(20)
    assert asked.over(100) == {OURS}
