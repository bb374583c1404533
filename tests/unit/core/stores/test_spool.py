"""The spool: complete files or none, each report once, foreign files ignored."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stopit_core.errors import Transient
from stopit_core.model import ContactReport, Digest
from stopit_core.stores.queue.spool import DurableReports, Spool, StoredIn
from stopit_core.stores.queue.sqlite import SqliteQueue
from stopit_core.wire import decode_report

REPORT = ContactReport(id="c0ffee", at=1.0, queue_id="4XYZ", pair=Digest(b"12345678"))


@pytest.fixture
def queue(tmp_path: Path) -> SqliteQueue:
    return SqliteQueue(tmp_path / "queue.db", 3)


@pytest.fixture
def away(tmp_path: Path) -> SqliteQueue:
    """A queue that cannot be used: its directory is missing."""
    return SqliteQueue(tmp_path / "nowhere" / "queue.db", 3)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def spool(directory: Path) -> Spool:
    return Spool(directory)


def payloads(queue: SqliteQueue) -> list[bytes]:
    return [delivery.payload for delivery in queue.waiting(100)]


def test_what_was_put_is_drained_in_order_and_gone(spool: Spool, queue: SqliteQueue, directory: Path) -> None:
    for at, name in enumerate(("b", "c", "a")):
        spool.put(name, name.encode())
        os.utime(directory / f"{name}.report", (at, at))
    assert spool.depth() == 3
    assert spool.drain(queue) == 3
    assert payloads(queue) == [b"b", b"c", b"a"]
    assert (spool.depth(), spool.drain(queue)) == (0, 0)


def test_the_same_report_again_changes_nothing(spool: Spool, queue: SqliteQueue) -> None:
    spool.put("a", b"first")
    spool.put("a", b"second")
    assert spool.drain(queue) == 1
    assert payloads(queue) == [b"first"]


def test_a_spool_that_was_never_used_is_empty(spool: Spool, queue: SqliteQueue) -> None:
    assert (spool.depth(), spool.drain(queue)) == (0, 0)


def test_files_are_for_the_group_and_not_for_the_world(spool: Spool, directory: Path) -> None:
    before = os.umask(0o007)
    try:
        spool.put("a", b"a")
    finally:
        os.umask(before)
    assert (directory / "a.report").stat().st_mode & 0o777 == 0o660
    assert directory.stat().st_mode & 0o777 == 0o770


@pytest.mark.parametrize("name", ["", "../a", "a/b", ".a", "a.b", "a\n", "a" * 200, "ä"])
def test_an_id_that_is_no_file_name_is_refused(spool: Spool, name: str) -> None:
    with pytest.raises(ValueError, match="not a report id"):
        spool.put(name, b"")


def test_draining_stops_when_the_queue_is_away_and_loses_nothing(
    spool: Spool, queue: SqliteQueue, away: SqliteQueue
) -> None:
    spool.put("a", b"a")
    with pytest.raises(Transient):
        spool.drain(away)
    assert spool.depth() == 1
    assert spool.drain(queue) == 1


def test_what_is_not_ours_is_left_and_blocks_nothing(spool: Spool, queue: SqliteQueue, directory: Path) -> None:
    spool.put("good", b"good")
    (directory / "README").write_text("hello")
    (directory / "some dir.report").mkdir()
    (directory / "folder.report").mkdir()
    (directory / "link.report").symlink_to("/etc/hostname")
    (directory / ".good.1234.partial").write_bytes(b"half")
    assert spool.depth() == 1
    assert spool.drain(queue) == 1
    assert payloads(queue) == [b"good"]
    left = {path.name for path in directory.iterdir()} - {".drain"}
    assert left == {"README", "some dir.report", "folder.report", "link.report", ".good.1234.partial"}


def test_partial_files_of_dead_processes_are_removed(spool: Spool, queue: SqliteQueue, directory: Path) -> None:
    spool.put("a", b"a")
    old = directory / ".b.1234.partial"
    old.write_bytes(b"half")
    os.utime(old, (1, 1))
    spool.drain(queue)
    assert not old.exists()


def test_one_drains_at_a_time(spool: Spool, queue: SqliteQueue, directory: Path) -> None:
    spool.put("a", b"a")
    with (directory / ".drain").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert spool.drain(queue) == 0
    assert spool.drain(queue) == 1


def test_a_directory_that_cannot_be_written_is_transient(tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("")
    with pytest.raises(Transient, match="spool"):
        Spool(occupied / "spool").put("a", b"a")
    with pytest.raises(Transient, match="spool"):
        Spool(tmp_path / "no" / "such" / "parent").put("a", b"a")
    with pytest.raises(Transient, match="spool"):
        Spool(Path("/proc")).ping()


def test_ping_leaves_nothing_behind(spool: Spool, directory: Path) -> None:
    spool.put("a", b"a")
    spool.ping()
    assert [path.name for path in directory.iterdir()] == ["a.report"]


def test_a_full_disk_is_transient_and_leaves_no_half_file() -> None:
    full = Path("/dev/shm") / f"stopit-test-{os.getpid()}"
    script = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from stopit_core.errors import Transient; from stopit_core.stores.queue.spool import Spool\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: Spool(Path(sys.argv[1])).put('a', b'x' * 100_000)\n"
        "except Transient as error: print(error, list(Path(sys.argv[1]).iterdir()))\n"
    )
    try:
        ran = subprocess.run([sys.executable, "-c", script, str(full)], capture_output=True, text=True, check=True)
    finally:
        full.rmdir()
    assert "File too large" in ran.stdout
    assert ran.stdout.endswith("[]\n")


class TestDurableReports:
    def test_the_queue_comes_first(self, queue: SqliteQueue, spool: Spool) -> None:
        assert DurableReports(queue, spool).put(REPORT) is StoredIn.QUEUE
        assert [decode_report(payload) for payload in payloads(queue)] == [REPORT]
        assert spool.depth() == 0

    def test_the_spool_stands_in_and_is_drained(self, queue: SqliteQueue, away: SqliteQueue, spool: Spool) -> None:
        assert DurableReports(away, spool).put(REPORT) is StoredIn.SPOOL
        assert spool.drain(queue) == 1
        assert [decode_report(payload) for payload in payloads(queue)] == [REPORT]

    def test_when_both_fail_it_names_both(self, away: SqliteQueue, tmp_path: Path) -> None:
        with pytest.raises(Transient, match=r"sqlite .*; spool "):
            DurableReports(away, Spool(tmp_path / "no" / "spool")).put(REPORT)
