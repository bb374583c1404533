"""`stopitctl simulate` says what the milter does: a property of the same octets, given to both.

The octets go to the function that simulate asks (`dispose_file`), and through a client of the milter protocol to a
stopit-milter process. Its reply, its edits in their order and the reports in its queue must be what simulate says.

simulate starts from a file, the milter from what Postfix sends of it: a header value without its first space, lines
of the headers cut at a NUL, CR LF at the ends of the body's lines, the first line that is no field as the first of
the body. simulate does the same in stopit_ctl.message_file; the client's version of it (`postfix_content`) is written
after Postfix's source, apart from simulate's, so that the two check each other.

No Postfix is needed. What Postfix never lets through is not tried: paths in MAIL and RCPT that are no UTF-8.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, event, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from msgspec import structs

from stopit_core import config
from stopit_core.decision.context import DecisionContext
from stopit_core.decision.disposition import Disposition, Edits, Precheck
from stopit_core.decision.tracing import message_ids_of
from stopit_core.envelope import Envelope
from stopit_core.identity.keys import new_key, new_ref
from stopit_core.model import Report
from stopit_core.open_stores import open_queue
from stopit_core.stores.queue import Queue
from stopit_core.wire import decode_report
from stopit_ctl.simulate import dispose_file
from stopit_lab.daemons import Daemon, program
from stopit_lab.milter_client import Edit, MilterClient, Result, Submission, postfix_content
from stopit_lab.ports import HOST, spare_ports

SAMPLES = sorted((Path(__file__).parents[1] / "unit" / "core" / "flags" / "samples").glob("*/*.eml"))
ACCEPT = b"a"
UNREADABLE = b"\xff"
QUEUE_ID = "4XLAB"
LONGEST_FIELD = 60_000
"""libmilter ends a connection that brings more than 64 KiB in one packet."""


@dataclass(repr=False)
class Site:
    """A running milter, its context, and its queue."""

    socket: Path
    context: DecisionContext
    queue: Queue

    def send(self, raw: bytes, envelope: Envelope, login: bytes) -> tuple[Result, list[Report]]:
        """Send a message, and return its outcome at the milter and the reports that the milter made of it."""
        fields, body = postfix_content(raw)
        message = Submission(
            tuple(path.encode() for path in envelope.recipients),
            fields,
            body,
            f"<{envelope.mail_from}>".encode(),
            login,
            QUEUE_ID.encode(),
        )
        with MilterClient(str(self.socket), envelope.client) as mta:
            result = mta.send(message)
        deliveries = self.queue.waiting(100)
        for delivery in deliveries:
            self.queue.ack(delivery.id)
        return result, [decode_report(delivery.payload) for delivery in deliveries]


@pytest.fixture(scope="module", params=["enforce", "observe", "deliver"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A milter in each mode, on SQLite."""
    directory = tmp_path_factory.mktemp(request.param)
    (directory / "site.key").write_text(new_key())
    (port,) = spare_ports(1)
    mode = {"reply": "deliver"} if request.param == "deliver" else {"mode": request.param}
    values: dict[str, dict[str, Any]] = {
        "campus": {
            "name": "Example University",
            "domains": ["example.edu"],
            "report_address": "stopit@example.edu",
            "staff_address": "staff@example.edu",
        },
        "milter": {"socket": f"unix:{directory}/milter.sock", "metrics": f"{HOST}:{port}", "workers": 1, **mode},
        "queue": {"url": f"sqlite:///{directory}/queue.db", "spool_dir": directory / "spool"},
        "ledger": {"url": f"sqlite:///{directory}/ledger.db", "key_file": directory / "site.key"},
        "identity": {"trusted_relays": ["192.0.2.80"], "trusted_authserv_ids": ["mx.example.edu"]},
    }
    file = directory / "stopit.toml"
    file.write_text(config.describe(values))
    settings = config.load(file)
    daemon = Daemon("stopit-milter", [program("stopit-milter"), "--config", str(file)], directory)
    daemon.start()
    try:
        with closing(open_queue(settings.queue)) as queue:
            yield Site(directory / "milter.sock", DecisionContext.of(settings), queue)
    finally:
        daemon.kill()


HEADERS = (
    b"Message-ID: <one@example.edu>",
    b"Message-ID: <two@example.edu> <three@example.edu>",
    b"Message-ID: no brackets at all",
    b"Message-ID:<" + b"x" * 3000 + b"@example.edu>",
    b"In-Reply-To: <original-1@example.edu>",
    b"In-Reply-To:\r\n\t<original-1@example.edu>\r\n <original-2@example.edu>",
    b"References : <a@example.edu>\t<b@example.edu>",
    b"X-Stopit: urgent",
    b"x-stopit:flag",
    b"X-Stopit-Report: 0123",
    b"X-STOPIT-Flag \t: urgent\0hidden",
    b"Subject: =?utf-8?q?Re=3A_\xe2=80=AE?= \xe2\x80\xae txt",
    b"Subject: \xff\xfe octets\0 and more",
    b'From: =?utf-8?b?w7w=?= <vera@example.edu>, "x" <y@example.edu>',
    b"Auto-Submitted: auto-replied",
    b"Auto-Submitted: no",
    b"List-Id: <l.example.edu>",
    b"Precedence: bulk",
    b"Resent-From: vera@example.edu",
    b"Authentication-Results: mx.example.edu; dmarc=pass header.from=example.edu",
    b'Content-Type: multipart/mixed; boundary="b"',
    b"Content-Type: message/rfc822",
    b"Content-Transfer-Encoding: base64",
    b"no field",
    b" folded from nowhere",
    b"\0",
    b"Na\0me: x",
    b"From mallory Mon Sep 21 14:13:20 2026",
    b">From mallory",
    b"",
)
BULK = (
    b"X-Pad: " + b"x" * 1000 + b"\r\n",
    b"X-Stopit-Pad: 1\n",
    b"Received: from a by b; Mon, 21 Sep 2026 14:13:20 +0000\r\n",
)
TEXTS = (
    b"stopit\r\n",
    b"STOPIT urgent\n",
    "\u202estopit\u202c\n".encode(),
    b"stop\0it\n",
    b"please stop\n",
    b"--b\n\nstopit\n--b--\n",
    b"--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nstopit\n--c\nContent-Type: message/rfc822\n\n"
    b"Message-ID: <original-9@example.edu>\n\nx\n--b--\n",
    b"c3RvcGl0\n",
    b"\r\r\n.\r\nstopit",
    b"",
)
PADS = (b"> quoted\n", b"x" * 99 + b"\r\n", b"\n")
OCTETS = st.binary(min_size=1, max_size=12)

Change = Callable[[bytes], bytes]


def put_field(line: bytes, end: bytes) -> Change:
    return lambda raw: line + end + raw


def put_many(line: bytes, count: int) -> Change:
    return lambda raw: line * count + raw


def put_text(text: bytes, pad: bytes, count: int) -> Change:
    """Put the text in place of the body, after this number of lines."""
    return lambda raw: raw.replace(b"\r\n", b"\n").partition(b"\n\n")[0] + b"\n\n" + pad * count + text


def put_octets(data: bytes, place: float, length: int) -> Change:
    def change(raw: bytes) -> bytes:
        start = int(place * len(raw))
        return raw[:start] + data + raw[start + length :]

    return change


def swap_line_ends(old: bytes, new: bytes) -> Change:
    return lambda raw: raw.replace(old, new)


def cut(place: float) -> Change:
    return lambda raw: raw[: int(place * len(raw))]


CHANGES: st.SearchStrategy[Change] = st.one_of(
    st.builds(put_field, st.sampled_from(HEADERS), st.sampled_from([b"\n", b"\r\n", b"\r\r\n"])),
    st.builds(put_field, st.sampled_from(HEADERS), st.just(b"\n")),
    st.builds(put_text, st.sampled_from(TEXTS), st.sampled_from(PADS), st.sampled_from([0, 0, 0, 1, 3000, 30_000])),
    st.builds(put_octets, OCTETS, st.floats(0, 1), st.integers(0, 40)),
    st.builds(put_many, st.sampled_from(BULK), st.sampled_from([3, 600, 1100])),
    st.builds(swap_line_ends, st.sampled_from([b"\n", b"\r\n"]), st.sampled_from([b"\r\n", b"\n", b"\r", b"\r\r\n"])),
    st.builds(cut, st.floats(0, 1)),
)
MESSAGES = st.tuples(st.sampled_from(SAMPLES), st.lists(CHANGES, max_size=4))

TOKEN, SELF_TEST = "a reply address of ours", "the address of a self-test"
PEOPLE = (
    "<mallory@example.edu>",
    "<Walt+x@Example.EDU>",
    "<@relay.example:m\u00fcller@example.edu>",
    "<stopit@example.edu>",
    "<StopIt+nothing@example.edu>",
    "<staff@example.edu>",
    "walt@elsewhere.example",
)


@st.composite
def envelopes(draw: st.DrawFn) -> tuple[Envelope, bytes]:
    """An envelope, and the login as octets. Reply addresses are filled in once the key is known."""
    login = draw(st.sampled_from([b"", b"vera", b"vera", b"nobody here", UNREADABLE]))
    recipients = draw(st.lists(st.sampled_from([*PEOPLE, TOKEN, SELF_TEST]), min_size=1, max_size=4))
    if draw(st.booleans()):
        recipients = ["<mallory@example.edu>"]
    envelope = Envelope(
        login="\ufffd" if login == UNREADABLE else login.decode(),
        client=draw(st.sampled_from(["192.0.2.9", "192.0.2.80", "127.0.0.1"])),
        mail_from=draw(st.sampled_from(["vera@example.edu", "vera@example.edu", "", TOKEN, "Eve <eve@x.example"])),
        recipients=tuple(recipients),
        queue_id=QUEUE_ID,
    )
    return envelope, login


OWN = Envelope("", client="127.0.0.1", mail_from=TOKEN, recipients=(PEOPLE[0], SELF_TEST), queue_id=QUEUE_ID)
ANSWER = Envelope("vera", False, "192.0.2.9", "vera@example.edu", (TOKEN, TOKEN), QUEUE_ID)
SENT = st.one_of(envelopes(), envelopes(), envelopes(), st.sampled_from([(OWN, b""), (ANSWER, b"vera")]))


# A reply whose text comes behind 200 kB and behind 400 kB of other parts: within the cap of a body, and beyond it.
MEMBER = Envelope("vera", False, "192.0.2.9", "vera@example.edu", PEOPLE[:1], QUEUE_ID)
IN_PARTS = put_field(b'Content-Type: multipart/mixed; boundary="b"', b"\n")
BEHIND_200_KB, BEHIND_400_KB = (put_text(b"--b\n\nstopit\n--b--\n", PADS[1], lines) for lines in (2000, 4000))


@example(message=(SAMPLES[0], [BEHIND_200_KB, IN_PARTS]), sent=(MEMBER, b"vera"))
@example(message=(SAMPLES[0], [BEHIND_400_KB, IN_PARTS]), sent=(MEMBER, b"vera"))
@hypothesis_settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(message=MESSAGES, sent=SENT)
def test_the_milter_does_what_simulate_says(
    running: Site, message: tuple[Path, list[Change]], sent: tuple[Envelope, bytes]
) -> None:
    path, changes = message
    raw = path.read_bytes()
    for change in changes:
        raw = change(raw)
    fields, _ = postfix_content(raw)
    assume(all(len(value) < LONGEST_FIELD for _, value in fields))
    envelope, login = sent
    envelope = addressed(envelope, running.context)
    transaction, checked, said = dispose_file(raw, envelope, 1000.0, running.context)
    event(kind_of(said, checked))
    done, reports = running.send(raw, envelope, login)
    named = bool(message_ids_of(transaction.headers))  # without a Message-ID a report's id is of the moment
    assert done.reply == ACCEPT
    assert done.at_end_of_headers is not checked.needs_end_of_message
    assert without_ids(done.edits, named) == without_ids(edits_of(said.edits), named)
    assert told(reports, named) == told(reports_of(said), named)


def addressed(envelope: Envelope, context: DecisionContext) -> Envelope:
    """The envelope as this site has it: with addresses that its key made, and knowing its relays."""
    keyring = context.keyring
    made = {
        TOKEN: f"<stopit+{keyring.token(new_ref())}@example.edu>",
        SELF_TEST: f"<stopit+{keyring.token(keyring.new_self_test_ref())}@example.edu>",
    }
    return Envelope(
        login=envelope.login,
        relay=context.people.is_relay(envelope.client),
        client=envelope.client,
        mail_from=made[TOKEN][1:-1] if envelope.mail_from == TOKEN else envelope.mail_from,
        recipients=tuple(made.get(path, path) for path in envelope.recipients),
        queue_id=envelope.queue_id,
    )


def edits_of(edits: Edits) -> tuple[Edit, ...]:
    """The edits as the protocol carries them, in the one safe order."""
    removed = (("delrcpt", path) for path in edits.removed_recipients)
    fields = (("chgheader", name, str(index), "") for name, index in edits.removed_fields)
    added = (("addheader", name, value) for name, value in edits.added_fields)
    return tuple(chain(removed, fields, added, (("addrcpt", f"<{path}>") for path in edits.added_recipients)))


def without_ids(edits: tuple[Edit, ...], named: bool) -> tuple[Edit, ...]:
    return (
        edits
        if named
        else tuple(edit[:2] if edit[:2] == ("addheader", "X-Stopit-Report") else edit for edit in edits)
    )


def kind_of(said: Disposition, checked: Precheck) -> str:
    """Return the kind of a message, for pytest --hypothesis-show-statistics."""
    if checked.own:
        return "own mail"
    if said.flag or said.answers:
        return "flag" if said.flag else "answer"
    return "read" if checked.needs_end_of_message else "accepted at end of headers"


def reports_of(said: Disposition) -> list[Report]:
    return [said.flag] if said.flag else list(said.answers)


def told(reports: list[Report], named: bool) -> list[Report]:
    """The reports without their time, and without their ids where these are of the moment."""
    return [structs.replace(report, at=0.0, id=report.id if named else "") for report in reports]
