"""Failover copies: kept while the queue could lose the report, put again if it may have lost it, never removed in
doubt."""

from __future__ import annotations

from pathlib import Path

import pytest

from stopit_core.errors import Transient
from stopit_core.model import ContactReport, Digest
from stopit_core.stores.queue.failover_copies import FailoverCopies
from stopit_core.stores.queue.spool import DurableReports, Spool, StoredIn
from stopit_core.stores.queue.sqlite import SqliteQueue

OLD, NEW = "a" * 40, "b" * 40


class TwoMasters(SqliteQueue):
    """A queue with a replication id for writes, and the one that the Sentinels agree on ("" for none)."""

    writes = named = OLD

    def put(self, report_id: str, payload: bytes) -> str:
        super().put(f"{self.writes}{report_id}", payload)
        return self.writes

    def replication_id(self) -> str:
        if not self.named:
            raise Transient("no majority")
        return self.named


@pytest.fixture
def queue(tmp_path: Path) -> TwoMasters:
    return TwoMasters(tmp_path / "queue.db", 3)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def now() -> list[float]:
    return [1000.0]


@pytest.fixture
def copies(queue: TwoMasters, directory: Path, now: list[float]) -> FailoverCopies:
    return FailoverCopies(queue, Spool(directory), 600.0, lambda: now[0])


def files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*.report"))


def test_a_copy_is_removed_when_its_replication_id_has_held(
    copies: FailoverCopies, directory: Path, now: list[float]
) -> None:
    copies.put("a", b"a")
    assert files(directory) == [f"copies-{OLD}/a.report"]
    assert Spool(directory).depth() == 0
    assert copies.reconcile() == 0
    now[0] += 599.0
    copies.put("b", b"b")
    copies.reconcile()
    assert files(directory) == [f"copies-{OLD}/a.report", f"copies-{OLD}/b.report"]
    now[0] += 1.0
    copies.reconcile()
    assert files(directory) == [f"copies-{OLD}/b.report"]


def test_another_replication_id_puts_reports_again(
    copies: FailoverCopies, queue: TwoMasters, directory: Path
) -> None:
    copies.put("a", b"a")
    copies.put("b", b"b")
    queue.writes = queue.named = NEW
    assert copies.reconcile() == 2
    assert sorted(d.payload for d in queue.waiting(9)) == [b"a", b"a", b"b", b"b"]
    assert files(directory) == [f"copies-{NEW}/a.report", f"copies-{NEW}/b.report"]
    assert [path.name for path in directory.iterdir()] == [f"copies-{NEW}"]


@pytest.mark.parametrize("named", ["", NEW], ids=["nobody can tell", "still connected to the old master"])
def test_nothing_is_removed_while_it_is_not_clear(
    copies: FailoverCopies, queue: TwoMasters, directory: Path, now: list[float], named: str
) -> None:
    copies.put("a", b"a")
    copies.reconcile()
    now[0] += 10_000.0
    queue.named = named
    with pytest.raises(Transient):
        copies.reconcile()
    assert files(directory) == [f"copies-{OLD}/a.report"]


def test_where_nothing_can_be_lost_there_is_no_copy(tmp_path: Path, directory: Path) -> None:
    copies = FailoverCopies(SqliteQueue(tmp_path / "q.db", 3), Spool(directory))
    copies.put("a", b"a")
    assert copies.reconcile() == 0
    assert not directory.exists()


def test_without_sentinels_copies_are_put_and_removed(tmp_path: Path, directory: Path) -> None:
    Spool(directory).subspool(OLD).put("a", b"a")
    queue = SqliteQueue(tmp_path / "q.db", 3)
    assert FailoverCopies(queue, Spool(directory)).reconcile() == 1
    assert [d.payload for d in queue.waiting(9)] == [b"a"]
    assert list(directory.iterdir()) == []


def test_a_report_that_cannot_be_copied_goes_to_the_spool(copies: FailoverCopies, directory: Path) -> None:
    report = ContactReport(id="c0ffee", at=1.0, queue_id="4XYZ", pair=Digest(b"12345678"))
    directory.mkdir()
    (directory / f"copies-{OLD}").write_text("in the way")
    assert DurableReports(copies, Spool(directory)).put(report) is StoredIn.SPOOL
    assert files(directory) == ["c0ffee.report"]


def test_the_spool_is_drained_into_copies(copies: FailoverCopies, directory: Path) -> None:
    spool = Spool(directory)
    spool.put("a", b"a")
    assert spool.drain(copies) == 1
    assert files(directory) == [f"copies-{OLD}/a.report"]
