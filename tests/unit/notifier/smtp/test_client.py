"""The SMTP client with a real SMTP server that fails at each command in each way."""

from __future__ import annotations

import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from stopit_core.config import Smtp
from stopit_core.errors import Transient
from stopit_lab.ports import spare_ports
from stopit_lab.sink import Act, At, Sink, Taken
from stopit_notifier.failpoints import Failpoint
from stopit_notifier.smtp.client import SmtpClient
from stopit_notifier.smtp.send_result import CALLED_OFF, SENT, SendStatus

BEFORE_THE_DOT = [At.CONNECT, At.EHLO, At.MAIL, At.RCPT, At.DATA]


@dataclass(frozen=True)
class Note:
    """A message that the renderer did not make."""

    envelope_from: str = "stopit+token@example.edu"
    recipient: str = "mallory@example.edu"
    data: bytes = b"Subject: a note\r\n\r\nFirst line.\r\n.\r\n..two\r\nLast line.\r\n"


NOTE = Note()

MakeClient = Callable[..., SmtpClient]


def yes() -> bool:
    return True


def no() -> bool:
    return False


@pytest.fixture(params=[True, False], ids=["pipelining", "one-by-one"])
def sink(request: pytest.FixtureRequest) -> Iterator[Sink]:
    with Sink(pipelining=request.param) as server:
        yield server


@pytest.fixture
def make() -> Iterator[MakeClient]:
    made = []

    def client(port: int, data_within: float = 5.0, **options: object) -> SmtpClient:
        given = {key: options.pop(key) for key in ("failpoint", "monotonic", "took") if key in options}
        settings = Smtp.model_validate({"host": "localhost", "port": port, "timeout": "5s", **options})
        made.append(SmtpClient(settings, "notifier.example.edu", data_within, **given))  # type: ignore[arg-type]
        return made[-1]

    yield client
    for each in made:
        each.close()


def test_message_arrives_as_it_is_under_its_envelope(sink: Sink, make: MakeClient) -> None:
    assert make(sink.port).send(NOTE, yes) == SENT

    assert sink.taken == [Taken(NOTE.envelope_from, (NOTE.recipient,), NOTE.data)]
    assert sink.commands[0] == "EHLO notifier.example.edu"


def test_line_ends_are_mended(sink: Sink, make: MakeClient) -> None:
    assert make(sink.port).send(Note(data=b"Subject: a note\n\n.\nno end"), yes) == SENT

    assert sink.taken[0].data == b"Subject: a note\r\n\r\n.\r\nno end\r\n"


def test_connection_is_kept_between_messages(sink: Sink, make: MakeClient) -> None:
    client = make(sink.port)

    assert [client.send(NOTE, yes) for _ in range(3)] == [SENT] * 3

    assert (_connections(sink), len(sink.taken)) == (1, 3)


def test_each_attempt_is_timed_however_it_ends(sink: Sink, make: MakeClient) -> None:
    took: list[float] = []
    client = make(sink.port, took=took.append)

    client.send(NOTE, yes)
    client.send(NOTE, no)
    sink.faults[At.RCPT].append("550 no such user")
    client.send(NOTE, yes)

    assert len(took) == 3
    assert all(0 < seconds < 30 for seconds in took)


@pytest.mark.parametrize("at", [At.MAIL, At.RCPT])
def test_kept_connection_that_answers_4yz_is_replaced(sink: Sink, make: MakeClient, at: At) -> None:
    """Postfix answers 451 to every command on a connection that met a dead milter."""
    client = make(sink.port)
    client.send(NOTE, yes)
    sink.faults[at].append("451 4.7.1 Service unavailable")

    assert client.send(NOTE, yes) == SENT

    assert (_connections(sink), len(sink.taken)) == (2, 2)


@pytest.mark.parametrize("fault", [Act.DROP, "421 closing"])
def test_connection_that_was_dropped_meanwhile_is_replaced(sink: Sink, make: MakeClient, fault: str | Act) -> None:
    client = make(sink.port)
    client.send(NOTE, yes)
    sink.faults[At.RSET].append(fault)

    assert client.send(NOTE, yes) == SENT

    assert (_connections(sink), len(sink.taken)) == (2, 2)


def test_before_data_is_asked_between_rcpt_and_data(sink: Sink, make: MakeClient) -> None:
    said_before = []

    def ask() -> bool:
        said_before.extend(sink.commands)
        return True

    make(sink.port).send(NOTE, ask)

    assert said_before[-1].startswith("RCPT")
    assert sink.commands[len(said_before) :] == ["DATA"]


def test_no_before_data_sends_nothing_and_the_next_message_starts_clean(sink: Sink, make: MakeClient) -> None:
    client = make(sink.port)

    assert client.send(NOTE, no) == CALLED_OFF
    assert client.send(Note(recipient="vera@example.edu"), yes) == SENT

    assert sink.commands.count("DATA") == 1
    assert [taken.recipients for taken in sink.taken] == [("vera@example.edu",)]


def test_what_before_data_raises_comes_through(sink: Sink, make: MakeClient) -> None:
    def away() -> bool:
        raise Transient("case record: away")

    with pytest.raises(Transient, match="case record: away"):
        make(sink.port).send(NOTE, away)

    assert sink.taken == []


@pytest.mark.parametrize("at", [*BEFORE_THE_DOT, At.DOT])
def test_4yz_defers_with_its_code_and_text(sink: Sink, make: MakeClient, at: At) -> None:
    client = make(sink.port)
    sink.faults[at].append("451 4.3.0 come again")

    if at is At.EHLO:  # the client goes on with HELO, as RFC 5321 section 3.2 has it
        assert client.send(NOTE, yes) == SENT
        return
    result = client.send(NOTE, yes)
    assert result.status is SendStatus.DEFERRED
    assert "451 4.3.0 come again" in result.error
    assert client.send(NOTE, yes) == SENT

    assert len(sink.taken) == 1


@pytest.mark.parametrize("at", [At.MAIL, At.RCPT, At.DATA, At.DOT])
def test_5yz_for_the_message_refuses_it(sink: Sink, make: MakeClient, at: At) -> None:
    client = make(sink.port)
    sink.faults[at].append("550 5.1.1 no such user")

    result = client.send(NOTE, yes)
    assert result.status is SendStatus.REFUSED
    assert "550 5.1.1 no such user" in result.error
    assert client.send(NOTE, yes) == SENT

    assert len(sink.taken) == 1


def test_5yz_for_the_session_does_not_refuse_the_message(sink: Sink, make: MakeClient) -> None:
    client = make(sink.port)
    sink.faults[At.CONNECT].append("554 not you")
    sink.faults[At.MAIL].append("530 5.7.0 authentication required")

    for words in ("554 not you", "530 5.7.0 authentication required"):
        result = client.send(NOTE, yes)
        assert result.status is SendStatus.DEFERRED
        assert words in result.error

    assert client.send(NOTE, yes) == SENT


@pytest.mark.parametrize("at", [*BEFORE_THE_DOT])
@pytest.mark.parametrize("act", [Act.DROP, Act.HANG, Act.DRIBBLE])
def test_broken_or_endless_connection_before_the_dot_defers(sink: Sink, make: MakeClient, at: At, act: Act) -> None:
    client = make(sink.port, data_within=0.4, timeout="0.4s")
    sink.faults[at].append(act)
    began = time.monotonic()

    assert client.send(NOTE, yes).status is SendStatus.DEFERRED

    assert time.monotonic() - began < 2
    assert sink.taken == []
    assert client.send(NOTE, yes) == SENT


@pytest.mark.parametrize(
    ("act", "hung"),
    [(Act.DROP, False), (Act.TAKE_AND_DROP, False), (Act.HANG, True), (Act.TAKE_AND_HANG, True), (Act.DRIBBLE, True)],
)
def test_no_answer_to_the_dot_is_neither_yes_nor_no(sink: Sink, make: MakeClient, act: Act, hung: bool) -> None:
    client = make(sink.port, data_within=0.4)
    sink.faults[At.DOT].append(act)

    assert client.send(NOTE, yes).status is (SendStatus.HUNG if hung else SendStatus.UNANSWERED)
    assert client.send(NOTE, yes) == SENT


def test_answer_to_the_dot_that_makes_no_sense_is_no_answer(sink: Sink, make: MakeClient) -> None:
    sink.faults[At.DOT].append("354 go on")

    assert make(sink.port).send(NOTE, yes).status is SendStatus.UNANSWERED


@pytest.mark.parametrize("where", [Failpoint.BEFORE_DATA, Failpoint.BEFORE_DOT])
def test_process_that_was_stopped_before_the_dot_does_not_send_it(
    sink: Sink, make: MakeClient, where: Failpoint
) -> None:
    """SIGSTOP after `before_data`, and SIGCONT an hour later: another notifier has recovered the message by then."""
    asleep = 0.0

    def sleep_at(failpoint: Failpoint) -> None:
        nonlocal asleep
        asleep += 3600.0 if failpoint is where and not asleep else 0.0

    client = make(sink.port, data_within=30.0, failpoint=sleep_at, monotonic=lambda: time.monotonic() + asleep)

    assert client.send(NOTE, yes).status is SendStatus.DEFERRED

    assert sink.taken == []
    assert client.send(NOTE, yes) == SENT


def test_failpoints_come_in_their_order(sink: Sink, make: MakeClient) -> None:
    failpoints: list[Failpoint] = []

    make(sink.port, failpoint=failpoints.append).send(NOTE, yes)

    assert failpoints == [
        Failpoint.CONNECTED,
        Failpoint.RECIPIENT_ACCEPTED,
        Failpoint.BEFORE_DATA,
        Failpoint.BEFORE_DOT,
        Failpoint.AFTER_DOT,
        Failpoint.ACCEPTED,
    ]


def test_server_that_is_away_defers_and_is_named(make: MakeClient) -> None:
    (port,) = spare_ports(1)

    result = make(port).send(NOTE, yes)
    assert result.status is SendStatus.DEFERRED
    assert f"localhost:{port}" in result.error


def test_login_from_the_password_file(make: MakeClient, tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.write_text("open sesame\n")
    with Sink(login=("stopit", "open sesame")) as sink:
        client = make(sink.port, login="stopit", password_file=str(password))

        assert client.send(NOTE, yes) == SENT

        client.close()
        password.write_text("wrong")
        assert "535" in client.send(NOTE, yes).error
        password.unlink()
        assert "password" in client.send(NOTE, yes).error


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a certificate for localhost and its key, in one file; no authority signs it."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    key = path.with_suffix(".key")
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-keyout",
            str(key),
            "-out",
            str(path),
        ],
        check=True,
        capture_output=True,
    )
    path.write_text(path.read_text() + key.read_text())
    return path


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_tls_with_a_certificate_that_is_trusted(
    make: MakeClient, certificate: Path, monkeypatch: pytest.MonkeyPatch, tls: str
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with Sink(tls=_server(certificate), implicit=tls == "implicit") as sink:
        assert make(sink.port, tls=tls).send(NOTE, yes) == SENT
        assert len(sink.taken) == 1


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_tls_with_a_certificate_that_nobody_trusts(make: MakeClient, certificate: Path, tls: str) -> None:
    with Sink(tls=_server(certificate), implicit=tls == "implicit") as sink:
        assert "CERTIFICATE_VERIFY_FAILED" in make(sink.port, tls=tls).send(NOTE, yes).error
        assert sink.taken == []


def test_starttls_that_is_not_offered_is_never_done_without(sink: Sink, make: MakeClient) -> None:
    assert "STARTTLS" in make(sink.port, tls="starttls").send(NOTE, yes).error

    assert not any(command.startswith("MAIL") for command in sink.commands)


def test_line_end_in_an_address_makes_no_command(sink: Sink, make: MakeClient) -> None:
    result = make(sink.port).send(Note(recipient="a@example.edu>\r\nRCPT TO:<eve@example.edu"), yes)

    assert result.status is SendStatus.REFUSED
    assert sink.commands == []


def _connections(sink: Sink) -> int:
    return sum(command.startswith("EHLO") for command in sink.commands)


def _server(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context
