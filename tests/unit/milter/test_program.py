"""The program, started as systemd starts it, with a client of the milter protocol."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from stopit_core import config
from stopit_core.identity.keys import new_key, read_key
from stopit_core.model import FlagReport
from stopit_core.stores.ledger.sqlite import SqliteLedger
from stopit_core.stores.queue.sqlite import SqliteQueue
from stopit_core.wire import decode_report
from stopit_lab.daemons import Daemon, program, scrape
from stopit_lab.milter_client import MilterClient, Submission
from stopit_lab.ports import HOST, spare_ports
from stopit_lab.redis import Redis
from stopit_lab.waiting import until


class Wire(MilterClient):
    """One connection of an MTA, over which vera writes to mallory."""

    def write(self, number: int, text: bytes, login: bytes = b"", reply: bool = False) -> tuple[bytes, list[str]]:
        """Send one message. Return the reply that ends it, and the kinds of the edits in order."""
        fields = [(b"Message-ID", b"<%d@campus.example>" % number), (b"From", b"vera@campus.example")]
        if reply:
            fields.append((b"In-Reply-To", b"<original@campus.example>"))
        path = b"<vera@campus.example>"
        to = (b"<Mallory@campus.example>",)
        result = self.send(Submission(to, fields, text, path, login, queue_id=b"4X%d" % number))
        return result.reply, [kind for kind, *_ in result.edits]

    def flag(self, number: int) -> tuple[bytes, list[str]]:
        return self.write(number, b"stopit\r\n", login=b"vera", reply=True)


DELIVERED = (b"a", ["addheader", "addheader", "addrcpt"])
WITHHELD = (b"a", ["delrcpt", "addheader", "addheader", "addrcpt"])


class Running:
    """A stopit-milter on SQLite in its own directory, by default with one worker."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "stopit.toml"
        self.socket = directory / "milter.sock"
        (port,) = spare_ports(1)
        self.metrics = f"{HOST}:{port}"
        (directory / "site.key").write_text(new_key())
        self.daemon = Daemon("stopit-milter", [program("stopit-milter"), "--config", str(self.file)], directory)

    def configure(self, changes: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        values: dict[str, dict[str, Any]] = {
            "campus": {
                "name": "Example Campus",
                "domains": ["campus.example"],
                "report_address": "stopit@campus.example",
                "staff_address": "staff@campus.example",
            },
            "milter": {"socket": f"unix:{self.socket}", "metrics": self.metrics, "workers": 1},
            "queue": {"url": f"sqlite:///{self.directory}/queue.db", "spool_dir": self.directory / "spool"},
            "ledger": {"url": f"sqlite:///{self.directory}/ledger.db", "key_file": self.directory / "site.key"},
        }
        for section, keys in (changes or {}).items():
            values.setdefault(section, {}).update(keys)
        self.file.write_text(config.describe(values))

    def start(self, changes: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self.configure(changes)
        self.daemon.start()

    def wire(self) -> Wire:
        return Wire(str(self.socket))

    def flags(self) -> list[FlagReport]:
        queue = SqliteQueue(self.directory / "queue.db", 10)
        try:
            reports = [decode_report(delivery.payload) for delivery in queue.waiting(100)]
        finally:
            queue.close()
        return [report for report in reports if isinstance(report, FlagReport)]

    def children(self) -> list[int]:
        """Return the children's process ids: the workers, the trace writer, the server of /metrics."""
        listed = Path(f"/proc/{self.daemon.pid}/task/{self.daemon.pid}/children").read_text("ascii")
        return [int(pid) for pid in listed.split()]

    def value(self, name: str, **labels: str) -> float:
        return scrape(self.metrics).value(name, **labels)


@pytest.fixture
def milter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))  # so that files of killed processes are removed
    running = Running(tmp_path)
    yield running
    running.daemon.kill()


def test_a_flag_is_withheld_counted_and_queued(milter: Running) -> None:
    milter.start()
    assert stat.S_IMODE(milter.socket.stat().st_mode) == 0o770
    wire = milter.wire()
    assert wire.write(1, b"hello\r\n", login=b"vera") == (b"a", [])
    assert wire.flag(2) == WITHHELD
    assert wire.flag(2) == WITHHELD
    wire.close()
    (report,) = milter.flags()
    assert (report.reporter, report.withheld, report.queue_id) == ("vera@campus.example", 1, "4X2")
    assert milter.value("stopit_flags_total", channel="reply", result="queued") == 2
    until(lambda: milter.value("stopit_milter_messages_total", result="accepted") == 1, "the count")
    until(lambda: milter.value("stopit_traces_total", result="written") == 3, "the traces")
    assert milter.daemon.terminate() == 0
    assert not milter.socket.exists()


def test_it_works_as_the_redis_user_that_ships_for_it_and_warns_of_nothing(
    milter: Running, redis_process: Redis, tmp_path: Path
) -> None:
    """That user may not ask how durable the queue is; the notifier's may."""
    users = tmp_path / "users.acl"
    shipped = (Path(__file__).parents[3] / "config" / "redis" / "users.acl").read_text("utf-8")
    users.write_text(shipped.replace("CHANGE-ME", "secret").replace("user default off\n", ""), "utf-8")
    with Redis(port=spare_ports(1)[0], settings={"aclfile": str(users)}) as server:
        url = server.tcp_url.replace("://", "://stopit-milter:secret@")
        milter.start({"queue": {"url": url}, "ledger": {"url": url}})
        wire = milter.wire()
        assert wire.flag(1) == WITHHELD
        wire.close()
        until(lambda: milter.value("stopit_traces_total", result="written") == 1, "the trace")
        assert milter.value("stopit_flags_total", channel="reply", result="queued") == 1
        assert milter.daemon.terminate() == 0
    assert "could lose reports" not in milter.daemon.log_text()
    assert "is away" not in milter.daemon.log_text()


@pytest.mark.parametrize("whom", ["the parent", "its group"])
def test_an_orderly_end_writes_the_traces_in_hand(milter: Running, whom: str) -> None:
    milter.start()
    wire = milter.wire()
    for number in range(50):
        assert wire.write(number, b"") == (b"a", [])
    if whom == "its group":  # as Ctrl-C, or a service manager, does it
        os.killpg(milter.daemon.pid, signal.SIGTERM)
        assert milter.daemon.wait() == 0
    assert milter.daemon.terminate() == 0
    assert "did not end in time" not in milter.daemon.log_text()
    keyring = read_key(milter.directory / "site.key")
    ledger = SqliteLedger(milter.directory / "ledger.db", 86400.0)
    assert all(len(ledger.find(keyring.message(f"{number}@campus.example"))) == 1 for number in range(50))
    ledger.close()


def test_reload_logs_each_warning_once_for_all_children(milter: Running) -> None:
    milter.configure({"milter": {"workers": 2, "max_messages": 20}})
    milter.file.write_text(milter.file.read_text().replace("max_messages = 20\n", "recycle_after = 20\n"))
    milter.daemon.start()
    milter.file.write_text(milter.file.read_text().replace("workers = 2", "workers = 3"))
    milter.daemon.reload()
    text = milter.daemon.log_text()
    assert text.count("milter.workers") == 1
    assert text.count("milter.recycle_after") == 2  # at the start and at the reload


def test_reload_takes_effect_without_dropping_a_connection(milter: Running) -> None:
    milter.start({"milter": {"workers": 2}})
    wire = milter.wire()
    assert wire.flag(1) == WITHHELD
    milter.configure({"milter": {"reply": "deliver", "workers": 2}})
    milter.daemon.reload()
    assert wire.flag(2) == DELIVERED
    milter.file.write_text(milter.file.read_text().replace('reply = "deliver"', 'reply = "maybe"'))
    milter.daemon.reload()
    assert wire.flag(3) == DELIVERED
    assert milter.value("stopit_config_last_reload_successful") == 0
    assert "milter.reply" in milter.daemon.log_text()
    milter.configure({"milter": {"workers": 2}})
    milter.daemon.reload()
    assert wire.flag(4) == WITHHELD
    assert milter.value("stopit_config_last_reload_successful") == 1
    wire.close()


def test_a_worker_that_is_killed_comes_back_and_goes_on_counting(milter: Running) -> None:
    milter.start()
    wire = milter.wire()
    assert wire.flag(1) == WITHHELD
    worker = milter.children()[0]
    os.kill(worker, signal.SIGKILL)
    until(lambda: len(milter.children()) == 3 and worker not in milter.children(), "another worker")
    again = milter.wire()
    assert again.flag(2) == WITHHELD
    again.close()
    assert milter.value("stopit_flags_total", channel="reply", result="queued") == 2


def test_traces_wait_for_a_writer_that_is_killed(milter: Running) -> None:
    milter.start()
    wire = milter.wire()
    assert wire.write(1, b"") == (b"a", [])
    until(lambda: milter.value("stopit_traces_total", result="written") == 1, "the first trace")
    writer = milter.children()[1]
    os.kill(writer, signal.SIGSTOP)  # so that it receives nothing before it ends
    for number in range(2, 102):
        assert wire.write(number, b"") == (b"a", [])
    assert wire.flag(102) == WITHHELD
    os.kill(writer, signal.SIGKILL)
    until(lambda: milter.value("stopit_traces_total", result="written") == 102, "all traces")
    assert milter.value("stopit_traces_total", result="dropped") == 0
    assert milter.value("stopit_milter_workers_ended_total") == 1
    wire.close()
    assert milter.daemon.terminate() == 0


def test_a_key_under_its_old_name_is_read_with_a_warning(milter: Running) -> None:
    milter.configure({"milter": {"max_messages": 20}})
    milter.file.write_text(milter.file.read_text().replace("max_messages = 20\n", "recycle_after = 20\n"))
    milter.daemon.start()
    assert "milter.recycle_after: is now milter.max_messages" in milter.daemon.log_text()


def test_a_worker_drains_after_max_messages_and_ends_with_its_last_connection(milter: Running) -> None:
    milter.start({"milter": {"max_messages": 20}})
    old, writer, metrics = milter.children()
    wire = milter.wire()
    for number in range(25):
        assert wire.write(number, b"") == (b"a", [])
    until(lambda: len(milter.children()) == 4, "another worker")
    (new,) = set(milter.children()) - {old, writer, metrics}
    until(lambda: _refuses_connections(old), "the first to take no more")
    for number in range(100, 105):  # to any worker that the kernel wakes, and none is refused
        again = milter.wire()
        assert again.flag(number) == WITHHELD
        again.close()
    assert wire.flag(25) == WITHHELD
    assert old in milter.children()
    wire.close()
    until(lambda: old not in milter.children(), "the end of the first")
    assert set(milter.children()) == {writer, metrics, new}
    until(lambda: milter.value("stopit_milter_messages_total", result="flagged") == 6, "the counts of both")
    assert milter.value("stopit_milter_messages_total", result="accepted") == 25
    until(lambda: milter.value("stopit_milter_connections") == 0, "no connection")
    assert milter.socket.exists()
    assert "started again" not in milter.daemon.log_text()
    assert "Traceback" not in milter.daemon.log_text()


def _refuses_connections(pid: int) -> bool:
    """Return whether a worker does not listen on the milter's socket, by the descriptors that it has."""
    held = {str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()}
    listed = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()]
    listening = "00010000"  # __SO_ACCEPTCON
    sockets = {f"socket:[{line[6]}]" for line in listed if line[-1].endswith("/milter.sock") and line[3] == listening}
    return not sockets & held


def test_workers_do_not_outlive_their_parent(milter: Running) -> None:
    milter.start()
    children = milter.children()
    assert len(children) == 3
    os.kill(milter.daemon.pid, signal.SIGKILL)
    until(lambda: not any(Path(f"/proc/{pid}").exists() and _alive(pid) for pid in children), "their end")


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_without_redis_mail_passes_and_flags_wait_in_the_spool(redis_server: Redis, milter: Running) -> None:
    redis_server.stop()
    url = redis_server.url
    milter.start({"queue": {"url": url}, "ledger": {"url": url}})
    wire = milter.wire()
    began = time.monotonic()
    assert wire.write(1, b"hello\r\n") == (b"a", [])
    assert time.monotonic() - began < 0.5
    assert wire.flag(2) == WITHHELD
    assert time.monotonic() - began < 2
    assert milter.value("stopit_flags_total", channel="reply", result="spooled") == 1
    until(lambda: milter.value("stopit_spool_depth") == 1, "the spool's depth")
    redis_server.start()
    until(lambda: milter.value("stopit_spool_depth") == 0, "the spool to be drained")
    until(lambda: milter.value("stopit_traces_total", result="written") == 2, "the traces")
    assert wire.flag(3) == WITHHELD
    assert milter.value("stopit_flags_total", channel="reply", result="queued") == 1
    wire.close()


def test_a_stop_waits_for_no_idle_connection(milter: Running) -> None:
    milter.start({"milter": {"workers": 4}})
    wires = [milter.wire() for _ in range(8)]
    assert [wire.write(number, b"hello") for number, wire in enumerate(wires)] == [(b"a", [])] * 8
    began = time.monotonic()
    assert milter.daemon.terminate() == 0
    assert time.monotonic() - began < 4.5  # libmilter by itself takes 5 s
    assert not milter.socket.exists()


def test_a_message_at_its_end_is_answered_before_a_stop(milter: Running) -> None:
    milter.start()
    at_end = Event()

    class EndingWire(Wire):
        def _put(self, command: bytes, data: bytes) -> None:
            super()._put(command, data)
            if command == b"E":
                at_end.set()

    with closing(sqlite3.connect(milter.directory / "queue.db")) as other, ThreadPoolExecutor() as pool:
        other.execute("BEGIN IMMEDIATE")  # the milter waits a second for the queue, and takes the spool
        answer = pool.submit(EndingWire(str(milter.socket)).flag, 1)
        assert at_end.wait(20)
        time.sleep(0.3)
        assert milter.daemon.terminate() == 0
        assert answer.result() == WITHHELD
    assert len(list((milter.directory / "spool").glob("*.report"))) == 1


def test_a_redis_that_hangs_costs_two_seconds_at_most(milter: Running) -> None:
    with socket.socket() as deaf:
        deaf.bind((HOST, 0))
        deaf.listen(20)
        url = f"redis://{HOST}:{deaf.getsockname()[1]}/0"
        milter.start({"queue": {"url": url}, "ledger": {"url": url}})
        wire = milter.wire()
        began = time.monotonic()
        assert wire.flag(1) == WITHHELD
        assert time.monotonic() - began < 2
        wire.close()


def test_a_report_that_cannot_be_stored_defers_the_message(milter: Running) -> None:
    (port,) = spare_ports(1)
    spool = milter.directory / "spool"
    spool.write_text("no directory")
    milter.start({"queue": {"url": f"redis://{HOST}:{port}/0"}})
    wire = milter.wire()
    answer, edits = wire.flag(1)
    assert (answer, edits) == (b"y", [])
    assert wire.write(2, b"hello\r\n", login=b"vera") == (b"a", [])
    wire.close()


def test_over_tcp(milter: Running) -> None:
    (port,) = spare_ports(1)
    milter.start({"milter": {"socket": f"inet:{port}@{HOST}"}})
    wire = Wire((HOST, port))
    assert wire.flag(1) == WITHHELD
    wire.close()


class TestStart:
    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program("stopit-milter"), *arguments], capture_output=True, text=True, check=False, timeout=60
        )

    def test_every_fault_of_the_configuration_on_a_line(self, milter: Running) -> None:
        milter.configure(
            {
                "ledger": {
                    "key_file": milter.directory / "none.key",
                    "url": f"sqlite:///{milter.directory}/gone/l.db",
                },
                "identity": {"aliases": milter.directory / "none"},
            }
        )
        done = self.run("--config", str(milter.file))
        assert done.returncode == 78
        assert [line for line in done.stderr.splitlines() if "Traceback" in line] == []
        for key in ("ledger.key_file", "identity.aliases", "ledger.url"):
            assert sum(key in line for line in done.stderr.splitlines()) == 1

    def test_a_socket_directory_that_is_missing(self, milter: Running) -> None:
        milter.configure({"milter": {"socket": "unix:/nowhere/at/all/milter.sock"}})
        done = self.run("--config", str(milter.file))
        assert done.returncode == 1
        assert "/nowhere/at/all is missing" in done.stderr

    def test_a_metrics_address_that_is_taken(self, milter: Running) -> None:
        with socket.socket() as taken:
            taken.bind((HOST, 0))
            taken.listen()
            address = f"{HOST}:{taken.getsockname()[1]}"
            milter.configure({"milter": {"metrics": address}})
            done = self.run("--config", str(milter.file))
        assert done.returncode == 1
        assert address in done.stderr
        assert not milter.socket.exists()

    def test_a_tcp_port_that_is_taken(self, milter: Running) -> None:
        with socket.socket() as taken:
            taken.bind((HOST, 0))
            taken.listen()
            milter.configure({"milter": {"socket": f"inet:{taken.getsockname()[1]}@{HOST}"}})
            done = self.run("--config", str(milter.file))
        assert done.returncode == 1
        assert "cannot be opened" in done.stderr

    def test_version_and_help(self) -> None:
        assert self.run("--version").stdout.startswith("stopit-milter, version ")
        assert "--config" in self.run("--help").stdout

    def test_importing_does_nothing(self) -> None:
        names = "session edits listener process.worker process.supervisor __main__"
        code = "import threading\n" + "".join(f"import stopit_milter.{name}\n" for name in names.split())
        done = subprocess.run(
            [sys.executable, "-c", code + "assert threading.active_count() == 1"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
