"""stopitctl doctor: real sockets, real answers, and what is wrong with them."""

from __future__ import annotations

import os
import socket
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from prometheus_client import CollectorRegistry, start_http_server

from stopit_core.daemon.milter_probe import greet
from stopit_core.metrics import MilterMetrics, NotifierMetrics
from stopit_ctl.doctor.host import look_at_clock, look_at_disk, look_at_metrics
from stopit_ctl.doctor.milter import look_at_milter, said_by_child
from stopit_ctl.doctor.smtp import look_at_smtp
from stopit_ctl.findings import Finding, State
from stopit_lab.ports import spare_ports

NOW = 1_800_000_000.0
OPTNEG = struct.pack(">IcIII", 13, b"O", 6, 0x11, 0x7F)
ROOT = os.geteuid() == 0


def states(findings: list[Finding]) -> list[State]:
    return [finding.state for finding in findings]


@contextmanager
def speaker(path: Path, answer: bytes) -> Iterator[list[bytes]]:
    """Something that listens at a Unix socket, and says `answer` to whoever comes; gives what it heard."""
    heard: list[bytes] = []
    with closing(socket.socket(socket.AF_UNIX)) as door:
        door.bind(str(path))
        door.listen()

        def serve() -> None:
            with closing(door.accept()[0]) as guest:
                heard.append(guest.recv(4096))
                guest.sendall(answer)
                heard.append(guest.recv(4096) if answer == OPTNEG else b"")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield heard
        thread.join(5)


def knock(path: Path) -> str:
    def connect() -> socket.socket:
        door = socket.socket(socket.AF_UNIX)
        door.settimeout(5)
        door.connect(str(path))
        return door

    return greet(connect)


class TestMilter:
    def test_a_milter_is_greeted_in_its_protocol_and_left(self, tmp_path: Path) -> None:
        with speaker(tmp_path / "s", OPTNEG) as heard:
            assert knock(tmp_path / "s") == ""
        assert heard[0][:9] == struct.pack(">IcI", 13, b"O", 6)
        assert heard[1] == struct.pack(">Ic", 1, b"Q")

    @pytest.mark.parametrize(
        ("answer", "said"),
        [
            (b"", "closed without an answer"),
            (b"220 mail.example.edu ESMTP\r\n", "not as a milter"),
            (struct.pack(">IcIII", 13, b"O", 99, 0, 0), "not as a milter"),
            (struct.pack(">IcIII", 13, b"r", 6, 0, 0), "not as a milter"),
            (OPTNEG[:8], "closed without an answer"),
            (struct.pack(">I", 2**31), "not as a milter"),
        ],
    )
    def test_what_is_no_milter_is_known(self, tmp_path: Path, answer: bytes, said: str) -> None:
        with speaker(tmp_path / "s", answer):
            assert said in knock(tmp_path / "s")

    def test_nobody_there(self, tmp_path: Path) -> None:
        (finding, *_) = look_at_milter(f"unix:{tmp_path}/milter.sock", None)
        assert finding.state is State.FAULT
        assert "No such file" in str(finding)

    def test_an_inet_socket(self) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as server:
            port = server.getsockname()[1]
        (finding,) = look_at_milter(f"inet:{port}@127.0.0.1", None)
        assert finding.state is State.FAULT
        assert "refused" in str(finding)

    def test_without_postfix_what_could_not_be_tried_is_said(self, tmp_path: Path) -> None:
        with speaker(tmp_path / "s", OPTNEG):
            found = list(look_at_milter(f"unix:{tmp_path}/s", None))
        assert states(found) == [State.OK, State.UNTRIED]

    @pytest.mark.skipif(not ROOT, reason="only root can become postfix")
    def test_as_postfix_from_inside_its_chroot(self, postfix_can_reach: Path) -> None:
        path = postfix_can_reach / "milter.sock"
        with speaker(path, OPTNEG):
            path.chmod(0o666)
            (finding,) = look_at_milter(f"unix:{path}", postfix_can_reach)
        assert finding == Finding.ok(f"milter: unix:{path} answers as user postfix from inside {postfix_can_reach}")

    @pytest.mark.skipif(not ROOT, reason="only root can become postfix")
    def test_a_socket_that_postfix_may_not_use_is_a_fault_even_for_root(self, postfix_can_reach: Path) -> None:
        path = postfix_can_reach / "milter.sock"
        with closing(socket.socket(socket.AF_UNIX)) as door:
            door.bind(str(path))
            door.listen()
            path.chmod(0o600)
            (finding,) = look_at_milter(f"unix:{path}", postfix_can_reach)
        assert finding.state is State.FAULT
        assert "Permission denied" in finding.what
        assert "2750" in finding.advice

    @pytest.fixture
    def postfix_can_reach(self, tool: Callable[[str], str]) -> Iterator[Path]:
        """A directory that everybody can enter (pytest's own cannot)."""
        tool("postfix")
        with tempfile.TemporaryDirectory(prefix="stopit-doctor-") as name:
            Path(name).chmod(0o755)
            yield Path(name)

    def test_a_child_s_failure_is_its_answer(self) -> None:
        def fails() -> str:
            raise PermissionError("no")

        assert said_by_child(fails) == "PermissionError: no"
        assert said_by_child(lambda: "ü" * 100_000) == "ü" * 100_000


class Door:
    """What an MTA says to each address."""

    def __init__(self, refused: str = "", sender: str = "250 OK") -> None:
        self.refused = refused
        self.sender = sender
        self.seen: list[str] = []
        self.data = 0

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        return self.sender

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.seen.append(address)
        return "550 5.1.1 \x1b[2Jnobody here" if self.refused and self.refused in address else "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        self.data += 1
        return "250 OK"


class TestSmtp:
    def look(self, host, door: Door) -> list[Finding]:
        (port,) = spare_ports(1)
        controller = Controller(door, hostname="127.0.0.1", port=port)
        controller.start()
        try:
            settings = host.configure(smtp={"host": "127.0.0.1", "port": port})
            return list(look_at_smtp(settings.smtp, settings.campus, host.keyring))
        finally:
            controller.stop()

    def test_all_addresses_are_tried_and_nothing_is_sent(self, host) -> None:
        door = Door()
        assert states(self.look(host, door)) == [State.OK] * 4
        plain, tagged, staff = door.seen
        assert (plain, staff) == ("stopit@campus.example", "stopit-staff@campus.example")
        assert host.keyring.open_token(tagged.partition("@")[0].partition("+")[2])
        assert door.data == 0

    def test_a_tag_that_the_mta_does_not_know(self, host) -> None:
        found = self.look(host, Door(refused="+"))
        assert states(found) == [State.OK, State.OK, State.FAULT, State.OK]
        assert "recipient_delimiter" in found[2].advice

    def test_a_sender_that_the_mta_refuses(self, host) -> None:
        found = self.look(host, Door(sender="553 5.7.1 not yours"))
        assert states(found) == [State.OK, State.FAULT]

    def test_nobody_there(self, host) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as server:
            port = server.getsockname()[1]
        settings = host.configure(smtp={"host": "127.0.0.1", "port": port})
        (finding,) = look_at_smtp(settings.smtp, settings.campus, host.keyring)
        assert "refused" in str(finding)

    def test_starttls_that_the_mta_does_not_offer(self, host) -> None:
        (port,) = spare_ports(1)
        controller = Controller(Door(), hostname="127.0.0.1", port=port)
        controller.start()
        try:
            settings = host.configure(smtp={"host": "127.0.0.1", "port": port, "tls": "starttls"})
            (finding,) = look_at_smtp(settings.smtp, settings.campus, host.keyring)
        finally:
            controller.stop()
        assert finding.state is State.FAULT
        assert "STARTTLS" in str(finding)


class TestMetrics:
    @contextmanager
    def served(self, registry: CollectorRegistry) -> Iterator[str]:
        server, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def test_a_daemon_that_is_well(self) -> None:
        metrics = MilterMetrics(CollectorRegistry())
        with self.served(metrics.registry) as address:
            assert states(list(look_at_metrics("stopit-milter", address, NOW))) == [State.OK]

    def test_a_refused_reload_and_a_stuck_notifier_are_faults(self) -> None:
        metrics = NotifierMetrics(CollectorRegistry(), (), (), ())
        metrics.reload_successful.set(0)
        metrics.last_success.set(NOW - 7200)
        with self.served(metrics.registry) as address:
            found = list(look_at_metrics("stopit-notifier", address, NOW))
        assert states(found) == [State.OK, State.FAULT, State.FAULT]
        assert "for 2 h" in found[2].what

    def test_another_program_at_the_port(self) -> None:
        with self.served(CollectorRegistry()) as address:
            (finding,) = look_at_metrics("stopit-milter", address, NOW)
        assert "answers, but not as stopit-milter" in finding.what

    def test_nobody_there(self) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as server:
            port = server.getsockname()[1]
        (finding,) = look_at_metrics("stopit-milter", f"127.0.0.1:{port}", NOW)
        assert "systemctl status stopit-milter" in finding.advice


def test_disk_once_for_each_file_system(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    found = list(look_at_disk([tmp_path, tmp_path / "a", tmp_path / "missing"]))
    assert len(found) == 1


def test_a_clock_that_was_never_set() -> None:
    (finding,) = look_at_clock(1000.0)
    assert finding.state is State.FAULT
    assert "1970" in finding.what


def test_all_of_it_on_a_site_that_is_down(host) -> None:
    host.configure(
        milter={"socket": f"unix:{host.directory}/milter.sock", "metrics": "127.0.0.1:1"},
        notifier={"metrics": "127.0.0.1:1"},
        smtp={"port": 1},
    )
    done = host.run("doctor")
    assert done.exit_code == 1
    for part in ("ledger", "queue", "case record", "milter", "smtp", "stopit-milter", "stopit-notifier"):
        assert f"FAULT   {part}: " in done.stderr
    assert "findings are faults." in done.stdout
    assert "Traceback" not in done.output
    assert not list(host.directory.glob("*.db"))
