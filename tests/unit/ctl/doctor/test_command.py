"""stopitctl doctor: its probes on real sockets."""

from __future__ import annotations

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
from stopit_ctl.doctor.clock import probe_clock
from stopit_ctl.doctor.disk import probe_disk
from stopit_ctl.doctor.metrics import probe_metrics
from stopit_ctl.doctor.milter import probe_milter, run_in_child
from stopit_ctl.doctor.smtp import probe_smtp
from stopit_ctl.probe_results import ProbeResult, Status
from stopit_lab.ports import spare_ports

NOW = 1_800_000_000.0
OPTNEG = struct.pack(">IcIII", 13, b"O", 6, 0x11, 0x7F)


def states(results: list[ProbeResult]) -> list[Status]:
    return [result.status for result in results]


@contextmanager
def speaker(path: Path, answer: bytes) -> Iterator[list[bytes]]:
    """A server at a Unix socket that sends `answer` to its client. Yields what it received."""
    heard: list[bytes] = []
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            with closing(listener.accept()[0]) as guest:
                heard.append(guest.recv(4096))
                guest.sendall(answer)
                heard.append(guest.recv(4096) if answer == OPTNEG else b"")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield heard
        thread.join(5)


def knock(path: Path) -> str:
    def connect() -> socket.socket:
        listener = socket.socket(socket.AF_UNIX)
        listener.settimeout(5)
        listener.connect(str(path))
        return listener

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
        (result, *_) = probe_milter(f"unix:{tmp_path}/milter.sock", None)
        assert result.status is Status.FAULT
        assert "No such file" in str(result)

    def test_an_inet_socket(self) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as server:
            port = server.getsockname()[1]
        (result,) = probe_milter(f"inet:{port}@127.0.0.1", None)
        assert result.status is Status.FAULT
        assert "refused" in str(result)

    def test_without_postfix_what_could_not_be_tried_is_said(self, tmp_path: Path) -> None:
        with speaker(tmp_path / "s", OPTNEG):
            found = list(probe_milter(f"unix:{tmp_path}/s", None))
        assert states(found) == [Status.OK, Status.UNTRIED]

    @pytest.mark.usefixtures("as_root")
    def test_as_postfix_from_inside_its_chroot(self, postfix_can_reach: Path) -> None:
        path = postfix_can_reach / "milter.sock"
        with speaker(path, OPTNEG):
            path.chmod(0o666)
            (result,) = probe_milter(f"unix:{path}", postfix_can_reach)
        assert result == ProbeResult.ok(
            f"milter: unix:{path} answers as user postfix from inside {postfix_can_reach}"
        )

    @pytest.mark.usefixtures("as_root")
    def test_a_socket_that_postfix_may_not_use_is_a_fault_even_for_root(self, postfix_can_reach: Path) -> None:
        path = postfix_can_reach / "milter.sock"
        with closing(socket.socket(socket.AF_UNIX)) as listener:
            listener.bind(str(path))
            listener.listen()
            path.chmod(0o600)
            (result,) = probe_milter(f"unix:{path}", postfix_can_reach)
        assert result.status is Status.FAULT
        assert "Permission denied" in result.text
        assert "2750" in result.advice

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

        assert run_in_child(fails) == "PermissionError: no"
        assert run_in_child(lambda: "ü" * 100_000) == "ü" * 100_000


class Mta:
    """An MTA that refuses some addresses."""

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
    def look(self, host, mta: Mta) -> list[ProbeResult]:
        (port,) = spare_ports(1)
        controller = Controller(mta, hostname="127.0.0.1", port=port)
        controller.start()
        try:
            settings = host.configure(smtp={"host": "127.0.0.1", "port": port})
            return list(probe_smtp(settings))
        finally:
            controller.stop()

    def test_all_addresses_are_tried_and_nothing_is_sent(self, host) -> None:
        mta = Mta()
        assert states(self.look(host, mta)) == [Status.OK] * 4
        plain, tagged, staff = mta.seen
        assert (plain, staff) == ("stopit@campus.example", "stopit-staff@campus.example")
        assert host.keyring.open_token(tagged.partition("@")[0].partition("+")[2])
        assert mta.data == 0

    def test_a_tag_that_the_mta_does_not_know(self, host) -> None:
        found = self.look(host, Mta(refused="+"))
        assert states(found) == [Status.OK, Status.OK, Status.FAULT, Status.OK]
        assert "recipient_delimiter" in found[2].advice

    def test_a_sender_that_the_mta_refuses(self, host) -> None:
        found = self.look(host, Mta(sender="553 5.7.1 not yours"))
        assert states(found) == [Status.OK, Status.FAULT]

    def test_nobody_there(self, host) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as server:
            port = server.getsockname()[1]
        settings = host.configure(smtp={"host": "127.0.0.1", "port": port})
        (result,) = probe_smtp(settings)
        assert "refused" in str(result)

    def test_starttls_that_the_mta_does_not_offer(self, host) -> None:
        (port,) = spare_ports(1)
        controller = Controller(Mta(), hostname="127.0.0.1", port=port)
        controller.start()
        try:
            settings = host.configure(smtp={"host": "127.0.0.1", "port": port, "tls": "starttls"})
            (result,) = probe_smtp(settings)
        finally:
            controller.stop()
        assert result.status is Status.FAULT
        assert "STARTTLS" in str(result)


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
            assert states(list(probe_metrics("stopit-milter", address, NOW))) == [Status.OK]

    def test_a_refused_reload_and_a_stuck_notifier_are_faults(self) -> None:
        metrics = NotifierMetrics(CollectorRegistry(), (), (), ())
        metrics.reload_successful.set(0)
        metrics.last_success.set(NOW - 7200)
        with self.served(metrics.registry) as address:
            found = list(probe_metrics("stopit-notifier", address, NOW))
        assert states(found) == [Status.OK, Status.FAULT, Status.FAULT]
        assert "for 2 h" in found[2].text

    def test_another_program_at_the_port(self) -> None:
        with self.served(CollectorRegistry()) as address:
            (result,) = probe_metrics("stopit-milter", address, NOW)
        assert "answers, but not as stopit-milter" in result.text

    def test_nobody_there(self) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as server:
            port = server.getsockname()[1]
        (result,) = probe_metrics("stopit-milter", f"127.0.0.1:{port}", NOW)
        assert "systemctl status stopit-milter" in result.advice


def test_disk_once_for_each_file_system(host) -> None:
    (host.directory / "a").mkdir()
    settings = host.configure(
        queue={"url": f"sqlite:///{host.directory}/a/queue.db"},
        cases={"url": f"sqlite:///{host.directory}/missing/c.db"},
    )
    assert len(list(probe_disk(settings))) == 1


def test_a_clock_that_was_never_set() -> None:
    (result,) = probe_clock(1000.0)
    assert result.status is Status.FAULT
    assert "1970" in result.text


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
    assert "results are faults." in done.stdout
    assert "Traceback" not in done.output
    assert not list(host.directory.glob("*.db"))
