"""Pipelined messages with a real SMTP server that fails at each command: none is lost, doubled, or misdirected."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from stopit_core.config import Smtp
from stopit_core.outgoing.leak_check import Malformed
from stopit_lab.ports import spare_ports
from stopit_lab.sink import Act, At, Sink
from stopit_lab.waiting import until
from stopit_notifier.failpoints import Failpoint
from stopit_notifier.smtp.client import SmtpClient
from stopit_notifier.smtp.pipelined import PipelinedSender
from stopit_notifier.smtp.send_result import CALLED_OFF, SENT, SendResult, SendStatus


@dataclass(frozen=True)
class Note:
    """A message that the renderer did not make."""

    number: int

    @property
    def envelope_from(self) -> str:
        return f"stopit+{self.number}@example.edu"

    @property
    def recipient(self) -> str:
        return f"member{self.number}@example.edu"

    @property
    def data(self) -> bytes:
        return b"Subject: note %d\r\n\r\n.\r\n..two\r\nBDAT 3 LAST\r\n" % self.number


NOTES = [Note(number) for number in range(12)]

MakeClient = Callable[..., SmtpClient]


@pytest.fixture(params=[True, False], ids=["pipelining", "one-by-one"])
def any_sink(request: pytest.FixtureRequest) -> Iterator[Sink]:
    with Sink(pipelining=request.param) as server:
        yield server


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink(pipelining=True) as server:
        yield server


@pytest.fixture
def make() -> Iterator[MakeClient]:
    made = []

    def client(
        port: int, data_within: float = 5.0, failpoint: Callable[[Failpoint], None] = lambda _failpoint: None
    ) -> SmtpClient:
        settings = Smtp.model_validate({"host": "localhost", "port": port, "timeout": "5s"})
        made.append(SmtpClient(settings, "notifier.example.edu", data_within, failpoint))
        return made[-1]

    yield client
    for each in made:
        each.close()


def nothing(_note: Note) -> None:
    pass


def stream(
    client: SmtpClient, check: Callable[[Note], None] = nothing, in_time: Callable[[], bool] = lambda: True
) -> dict[int, SendResult]:
    """Send the notes, and return the result of each."""
    results = list(PipelinedSender(client, check, in_time).send(iter(NOTES)))
    assert sorted(note.number for note, _ in results) == [note.number for note in NOTES]
    return {note.number: result for note, result in results}


def arrived(sink: Sink) -> dict[int, int]:
    """Return how often each note was taken; each must be as it was sent, to its own recipient alone."""
    counts = dict.fromkeys(range(len(NOTES)), 0)
    for taken in sink.taken:
        (note,) = (each for each in NOTES if each.envelope_from == taken.mail_from)
        assert (taken.recipients, taken.data) == ((note.recipient,), note.data)
        counts[note.number] += 1
    return counts


def test_all_arrive_as_they_are_over_one_connection(any_sink: Sink, make: MakeClient) -> None:
    client = make(any_sink.port)

    assert set(stream(client).values()) == {SENT}
    assert set(stream(client).values()) == {SENT}

    assert set(arrived(any_sink).values()) == {2}
    assert sum(command.startswith("EHLO") for command in any_sink.commands) == 1


def test_pipelined_messages_do_not_wait_for_the_reply(sink: Sink, make: MakeClient) -> None:
    """The next message is written before the reply to the one before is read."""
    failpoints: list[Failpoint] = []

    stream(make(sink.port, failpoint=failpoints.append))

    assert failpoints[:8] == [Failpoint.CONNECTED, Failpoint.BEFORE_DATA, Failpoint.AFTER_DOT] * 2 + [
        Failpoint.CONNECTED,
        Failpoint.BEFORE_DATA,
    ]
    assert failpoints.count(Failpoint.ACCEPTED) == len(NOTES)
    assert not any(command == "DATA" for command in sink.commands)


@pytest.mark.parametrize("at", [At.MAIL, At.RCPT, At.DATA, At.DOT])
@pytest.mark.parametrize(
    ("words", "status"), [("451 4.3.0 later", SendStatus.DEFERRED), ("550 5.1.1 no", SendStatus.REFUSED)]
)
def test_message_that_is_refused_holds_up_no_other(
    any_sink: Sink, make: MakeClient, at: At, words: str, status: SendStatus
) -> None:
    any_sink.faults[at].append(words)

    results = stream(make(any_sink.port))

    again = (
        not any_sink.pipelining and status is SendStatus.DEFERRED and at in (At.MAIL, At.RCPT)
    )  # over a new connection
    first = results.pop(0)
    assert first.status is (SendStatus.SENT if again else status)
    assert set(results.values()) == {SENT}
    assert arrived(any_sink) == {note.number: int(again or note.number > 0) for note in NOTES}


def test_connection_on_which_a_message_is_put_off_is_used_for_no_other(sink: Sink, make: MakeClient) -> None:
    """Postfix answers 451 to every command on a connection that met a dead milter."""
    sink.faults[At.MAIL].extend(["451 4.7.1 later"] * 4)

    results = stream(make(sink.port))

    assert [number for number, result in results.items() if result.status is SendStatus.DEFERRED] == [0, 1, 2, 3]
    assert sum(command.startswith("EHLO") for command in sink.commands) == 2
    assert sum(arrived(sink).values()) == len(NOTES) - 4
    until(lambda: len(sink.connected) == 1, "the first connection to be closed")


@pytest.mark.parametrize("act", [Act.DROP, Act.HANG, Act.DRIBBLE, Act.TAKE_AND_DROP, Act.TAKE_AND_HANG])
def test_connection_that_breaks_leaves_in_doubt_what_was_under_way_and_no_other(
    sink: Sink, make: MakeClient, act: Act
) -> None:
    sink.faults[At.DOT].append(act)

    results = stream(make(sink.port, data_within=0.5))

    unanswered = SendStatus.UNANSWERED if act in (Act.DROP, Act.TAKE_AND_DROP) else SendStatus.HUNG
    doubtful = {number for number, result in results.items() if result.status is unanswered}
    unsent = {
        number for number, result in results.items() if result.status is SendStatus.DEFERRED
    }  # the connection was closed
    assert 0 in doubtful
    assert len(doubtful | unsent) <= 4 + (len(unsent) > 0)
    assert {result for number, result in results.items() if number not in doubtful | unsent} == {SENT}
    counts = arrived(sink)
    assert counts[0] == (act in (Act.TAKE_AND_DROP, Act.TAKE_AND_HANG))
    assert all(counts[number] == int(number not in unsent) for number in counts if number not in doubtful)


def test_connection_that_was_dropped_meanwhile_is_opened_again(sink: Sink, make: MakeClient) -> None:
    client = make(sink.port)
    stream(client)
    sink.faults[At.RSET].append(Act.DROP)

    assert set(stream(client).values()) == {SENT}

    assert set(arrived(sink).values()) == {2}


def test_what_is_not_in_time_is_called_off(any_sink: Sink, make: MakeClient) -> None:
    asked = itertools.count()

    results = stream(make(any_sink.port), in_time=lambda: next(asked) < 6)

    sent = {number for number, result in results.items() if result.sent}
    assert sent
    assert {result for number, result in results.items() if number not in sent} == {CALLED_OFF}
    assert {number for number, count in arrived(any_sink).items() if count} == sent


def test_forbidden_message_never_leaves(any_sink: Sink, make: MakeClient) -> None:
    def check(note: Note) -> None:
        if note.number == 5:
            raise Malformed("not sent: it is number five")

    results = stream(make(any_sink.port), check)

    assert results.pop(5) == SendResult(SendStatus.REFUSED, "not sent: it is number five")
    assert set(results.values()) == {SENT}
    assert arrived(any_sink)[5] == 0


def test_server_that_is_away_defers_each(make: MakeClient) -> None:
    (port,) = spare_ports(1)

    assert {result.status for result in stream(make(port)).values()} == {SendStatus.DEFERRED}


def test_line_end_in_an_address_makes_no_command(sink: Sink, make: MakeClient) -> None:
    @dataclass(frozen=True)
    class Bad(Note):
        @property
        def recipient(self) -> str:
            return "a@example.edu>\r\nRCPT TO:<eve@example.edu"

    (first, second) = PipelinedSender(make(sink.port), nothing, lambda: True).send(iter([Bad(0), NOTES[1]]))

    assert first[1].status is SendStatus.REFUSED
    assert second[1] == SENT
    assert [taken.recipients for taken in sink.taken] == [(NOTES[1].recipient,)]
