"""Opening stores: the right backend, faults with what to do, and no need for a server to be up."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from stopit_core.config import Cases, LedgerStore, QueueStore
from stopit_core.credentials import with_password
from stopit_core.errors import ConfigError, Transient
from stopit_core.open_stores import open_cases, open_ledger, open_queue, queue_durability_faults
from stopit_core.stores.ledger.redis import RedisLedger
from stopit_core.stores.ledger.sqlite import SqliteLedger
from stopit_core.stores.queue.redis import RedisQueue
from stopit_core.stores.queue.sqlite import SqliteQueue
from stopit_core.stores.redis_client import connect
from stopit_lab.ports import spare_ports
from stopit_lab.redis import Redis

NOBODY = "unix:///nowhere/redis.sock"


def test_the_url_names_the_backend(tmp_path: Path) -> None:
    assert isinstance(open_queue(QueueStore(url=f"sqlite:///{tmp_path}/q.db")), SqliteQueue)
    assert isinstance(open_ledger(LedgerStore(url=f"sqlite:///{tmp_path}/l.db")), SqliteLedger)
    assert isinstance(open_queue(QueueStore(url=NOBODY)), RedisQueue)
    assert isinstance(open_ledger(LedgerStore(url="rediss://user:secret@192.0.2.1:6380/1")), RedisLedger)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("which", ["queue", "ledger"])
def test_a_missing_directory_is_named_with_what_to_do(tmp_path: Path, which: str) -> None:
    url = f"sqlite:///{tmp_path}/no/store.db"
    with pytest.raises(ConfigError) as caught:
        _ = open_queue(QueueStore(url=url)) if which == "queue" else open_ledger(LedgerStore(url=url))
    assert str(caught.value) == (
        f'{tmp_path}/no: {which}.url = "{url}": there is no directory {tmp_path}/no;'
        " create it, writable by the daemons' user"
    )


def test_a_url_that_cannot_be_read_does_not_show_its_password() -> None:
    with pytest.raises(ConfigError, match=r"queue\.url: is not a Redis URL") as caught:
        open_queue(QueueStore(url="redis://user:secret@host:port/0"))
    assert "secret" not in str(caught.value)


def test_a_server_that_is_away_is_named_without_its_password_and_soon() -> None:
    [port] = spare_ports(1)
    queue = open_queue(QueueStore(url=f"redis://user:secret@127.0.0.1:{port}/0"))
    before = time.monotonic()
    with pytest.raises(Transient, match=f"redis 127.0.0.1:{port}") as caught:
        queue.put("a", b"a")
    assert time.monotonic() - before < 1.0
    assert "secret" not in str(caught.value)
    queue.close()


def test_a_server_that_could_lose_reports_is_told_of(redis_server: Redis, tmp_path: Path) -> None:
    settings = QueueStore(url=redis_server.url)
    assert queue_durability_faults(settings) == ()
    client = connect(redis_server.url)
    client.config_set("appendfsync", "everysec")
    try:
        [fault] = queue_durability_faults(settings)
    finally:
        client.config_set("appendfsync", "always")
        client.close()
    assert fault.endswith("redis.sock: appendfsync is everysec; it must be always")
    assert queue_durability_faults(QueueStore(url=f"sqlite:///{tmp_path}/q.db")) == ()
    with pytest.raises(Transient):
        queue_durability_faults(QueueStore(url=NOBODY))


def test_new_files_are_for_the_group_and_not_for_the_world(tmp_path: Path) -> None:
    before = os.umask(0o007)
    try:
        queue = SqliteQueue(tmp_path / "q.db", 3)
        queue.put("a", b"a")
    finally:
        os.umask(before)
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {
        "q.db": 0o660,
        "q.db-wal": 0o660,
        "q.db-shm": 0o660,
    }
    queue.close()


def test_a_file_of_another_version_is_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "q.db")) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(Transient, match="another version of Stopit"):
        SqliteQueue(tmp_path / "q.db", 3).ping()


def test_a_file_that_is_no_database_is_transient(tmp_path: Path) -> None:
    (tmp_path / "q.db").write_bytes(b"not a database, and long enough to be taken for a header of one" * 20)
    with pytest.raises(Transient, match="not a database"):
        SqliteQueue(tmp_path / "q.db", 3).put("a", b"a")


def test_a_clock_set_back_holds_no_report_up(tmp_path: Path) -> None:
    now = [1_000_000.0]
    queue = SqliteQueue(tmp_path / "q.db", 3, clock=lambda: now[0])
    queue.put("a", b"a")
    assert queue.claim("one", 1, 60.0)
    now[0] -= 30.0
    assert queue.claim("two", 1, 60.0) == []
    now[0] -= 86400.0
    assert len(queue.claim("two", 1, 60.0)) == 1
    assert queue.depths().oldest_age == 0.0
    queue.close()


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from stopit_core.errors import Transient
from stopit_core.stores.queue.sqlite import SqliteQueue
queue = SqliteQueue(Path(sys.argv[1]), 3)
queue.put("before", b"before")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, -1))
try:
    queue.put("big", b"x" * 1_000_000)
except Transient as error:
    print(error)
queue.put("after", b"after")
"""


def test_on_a_full_disk_a_report_is_whole_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "q.db"
    ran = subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith(f"sqlite {path}: ")
    assert [d.payload for d in SqliteQueue(path, 3).waiting(10)] == [b"before", b"after"]


NO_ROOM = """
import resource, signal, sys
from pathlib import Path
from stopit_core.errors import Transient
from stopit_core.stores.queue.sqlite import SqliteQueue
queue = SqliteQueue(Path(sys.argv[1]), 3)
queue.ping()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (Path(sys.argv[1] + "-wal").stat().st_size, -1))
try:
    queue.ping()
except Transient as error:
    print(error)
"""


def test_ping_reports_a_full_disk(tmp_path: Path) -> None:
    path = tmp_path / "q.db"
    ran = subprocess.run([sys.executable, "-c", NO_ROOM, str(path)], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith(f"sqlite {path}: ")


def put_one(path: Path, number: int, at: float) -> None:
    time.sleep(max(0.0, at - time.time()))
    SqliteQueue(path, 3).put(str(number), b"x")


def test_many_that_make_a_new_file_at_once_all_succeed(tmp_path: Path) -> None:
    context = get_context("fork")
    path, at = tmp_path / "q.db", time.time() + 0.2
    processes = [context.Process(target=put_one, args=(path, number, at)) for number in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 6
    assert len(SqliteQueue(path, 3).waiting(10)) == 6


class TestPasswordFiles:
    """A password from its file is inserted in the URL, whatever characters it has."""

    PASSWORD = "p@ss:w/ö#%"

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        path = tmp_path / "store.password"
        path.write_text(self.PASSWORD + "\n")
        return path

    def test_redis_takes_it(self, redis_server: Redis, file: Path) -> None:
        client = connect(redis_server.url)
        client.execute_command("ACL", "SETUSER", "stopit", "on", f">{self.PASSWORD}", "~*", "&*", "+@all")
        host = redis_server.url.partition("://")[2]
        kind = redis_server.url.partition("://")[0]
        try:
            open_queue(QueueStore(url=f"{kind}://stopit@{host}", password_file=file)).ping()
            open_ledger(LedgerStore(url=f"{kind}://stopit@{host}", password_file=file)).ping()
            file.write_text("another")
            with pytest.raises(Transient):
                open_queue(QueueStore(url=f"{kind}://stopit@{host}", password_file=file)).ping()
        finally:
            client.execute_command("ACL", "DELUSER", "stopit")
            client.close()

    @pytest.mark.parametrize(
        ("url", "wanted"),
        [
            ("postgresql+psycopg://vera@db.example.edu:5433/cases?sslmode=require", ("vera", "db.example.edu", 5433)),
            ("postgresql+psycopg://db.example.edu/cases", ("", "db.example.edu", None)),
            ("postgresql+psycopg:///cases", ("", "", None)),
        ],
    )
    def test_sqlalchemy_reads_the_same_url_with_it(self, url: str, wanted: tuple[str, str, int | None]) -> None:
        parsed = make_url(with_password(url, self.PASSWORD))
        assert parsed.password == self.PASSWORD
        assert (parsed.username or "", parsed.host or "", parsed.port) == wanted
        assert parsed.database == "cases"
        assert parsed.query == make_url(url).query

    def test_the_case_record_asks_for_it(self, tmp_path: Path) -> None:
        cases = Cases(url="postgresql+psycopg://vera@db.example.edu/cases", password_file=tmp_path / "none")
        with pytest.raises(ConfigError, match=r"cases\.password_file: there is no such file"):
            open_cases(cases)

    def test_a_file_that_is_not_there_is_a_fault_of_its_key(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"ledger\.password_file: there is no such file"):
            open_ledger(LedgerStore(url="redis://127.0.0.1:1/0", password_file=tmp_path / "none"))
