"""Pipelined messages to a real Postfix that rejects unauthorised pipelining (RFC 2920, RFC 3030)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from stopit_core.config import Smtp
from stopit_lab.people import Cast
from stopit_lab.ports import HOST
from stopit_lab.site import Site
from stopit_notifier.smtp.client import SmtpClient
from stopit_notifier.smtp.pipelined import PipelinedSender
from stopit_notifier.smtp.send_result import SendStatus

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Note:
    """A message that the renderer did not make."""

    name: str
    recipient: str
    envelope_from: str

    @property
    def data(self) -> bytes:
        return f"Message-ID: <{self.name}@notes>\r\nSubject: {self.name}\r\n\r\n.\r\n..two\r\nRSET\r\n".encode()


@pytest.fixture
def client(site: Site) -> Iterator[SmtpClient]:
    settings = Smtp.model_validate({"host": HOST, "port": site.postfix.outgoing})
    made = SmtpClient(settings, "notifier.example.edu", 30.0)
    yield made
    made.close()


def test_a_strict_postfix_takes_pipelined_messages_and_a_refused_one_leaves_nothing_behind(
    site: Site, cast: Cast, client: SmtpClient
) -> None:
    name = f"pipelined-{cast.number}"
    people = [cast.vera, "nobody@nowhere.example", cast.walt, cast.bob]
    notes = [Note(f"{name}-{at}", people[at % 4], cast.eve) for at in range(20)]

    sender = PipelinedSender(client, lambda _note: None, lambda: True)
    results = {note.name: result for note, result in sender.send(iter(notes))}

    assert client.ready().pipelines_messages
    for note in notes:
        refused = note.recipient == people[1]
        assert results[note.name].status is (SendStatus.REFUSED if refused else SendStatus.SENT)
    for person in (cast.vera, cast.walt, cast.bob):
        wanted = sorted(note.name for note in notes if note.recipient == person)
        for each in wanted:
            found = site.mailbox(person).wait_for(lambda mail, each=each: mail.subject == each, each)
            assert found.text == ".\n..two\nRSET\n"
        have = sorted(mail.subject for mail in site.mailbox(person).messages() if mail.subject.startswith(name))
        assert have == wanted
