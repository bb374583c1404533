"""Messages one behind the other to a real Postfix that forbids all pipelining but the allowed (RFC 2920, RFC
3030)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from stopit_core.config import Smtp
from stopit_core.errors import Permanent
from stopit_lab.people import Cast
from stopit_lab.ports import HOST
from stopit_lab.site import Site
from stopit_notifier.smtp.client import SmtpClient
from stopit_notifier.smtp.pipelined import PipelinedSender

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Note:
    """A message of nobody in particular."""

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


def test_a_strict_postfix_takes_a_stream_and_a_refused_letter_leaves_nothing_behind(
    site: Site, cast: Cast, client: SmtpClient
) -> None:
    name = f"stream-{cast.number}"
    people = [cast.vera, "nobody@nowhere.example", cast.walt, cast.bob]
    notes = [Note(f"{name}-{at}", people[at % 4], cast.eve) for at in range(20)]

    ends = {
        note.name: end for note, end in PipelinedSender(client, lambda _note: None, lambda: True).send(iter(notes))
    }

    assert client.ready().streams
    for note in notes:
        end = ends[note.name]
        assert isinstance(end, Permanent) if note.recipient == people[1] else end is True, end
    for person in (cast.vera, cast.walt, cast.bob):
        wanted = sorted(note.name for note in notes if note.recipient == person)
        for each in wanted:
            found = site.mailbox(person).wait_for(lambda mail, each=each: mail.subject == each, each)
            assert found.text == ".\n..two\nRSET\n"
        have = sorted(mail.subject for mail in site.mailbox(person).messages() if mail.subject.startswith(name))
        assert have == wanted
