"""An outbox with a real record, ledger and SMTP server around it, a set time, and a milter before the server."""

from __future__ import annotations

import io
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from case_rows import report_row
from stopit_core.cases import Case, CaseState, CaseStore, Event, MessageRow, Party, ReportRow
from stopit_core.clock import Time
from stopit_core.config import Smtp, parse
from stopit_core.daemon.logs import open_log
from stopit_core.daemon.systemd import Live
from stopit_core.decision.policy import Reason, pairs
from stopit_core.identity.keys import Keyring, new_ref
from stopit_core.identity.people import Person
from stopit_core.metrics import NotifierMetrics
from stopit_core.model import Assurance, Trace
from stopit_core.outgoing.facts import AcknowledgementFacts, Facts, MessageKind, NoticeFacts
from stopit_core.stores.ledger.sqlite import SqliteLedger
from stopit_core.stores.queue.sqlite import SqliteQueue
from stopit_lab.sink import Sink, Taken
from stopit_lab.waiting import until
from stopit_notifier.configuration import NotifierContext
from stopit_notifier.failpoints import FailpointHook, no_failpoint
from stopit_notifier.sending.claim import ClaimId, StableReplicationId
from stopit_notifier.sending.outbox import Outbox, Terms
from stopit_notifier.sending.recovery import Recovery
from stopit_notifier.sending.result import ResultRecorder
from stopit_notifier.sending.watchlist import Watchlist
from stopit_notifier.smtp.client import SmtpClient
from stopit_notifier.smtp.pool import ConnectionPool
from stopit_notifier.stores import Stores

KEYRING = Keyring(b"k" * 32)
MALLORY = Person("mallory@campus.example", Assurance.AUTHENTICATED)
CONFIG = """
[campus]
name = "Campus"
domains = ["campus.example"]
report_address = "stopit@campus.example"
staff_address = "staff@campus.example"
[policy]
cooldown = "30d"
"""
SETTLE = 0.5
GIVE_UP = 3 * 86400.0


@cache
def _context() -> NotifierContext:
    """The context of CONFIG, which no test changes. To check its templates takes longer than most tests."""
    return NotifierContext.of_site(parse(CONFIG, "stopit.toml"), KEYRING)


class Rig:
    """An outbox and what is around it. `now` is the clock, `ticks` the monotonic one: they stand until moved."""

    def __init__(self, url: str, directory: Path, pipelining: bool = False) -> None:
        self.now = 1_700_000_000.0
        self.ticks = 1000.0
        self.milter = True
        self.store = CaseStore(url)
        self.store.migrate()
        self.ledger_path = directory / "ledger.db"
        self.ledger = SqliteLedger(self.ledger_path, 14 * 86400.0, self.clock)
        self.context = Live(_context())
        self.registry = CollectorRegistry()
        self.metrics = NotifierMetrics(self.registry, pairs(), [kind.value for kind in MessageKind], CaseState)
        self.said = io.StringIO()
        self.sink = Sink(on_taken=self._passes_the_milter, pipelining=pipelining)
        self.boot = "boot-1"
        self.replication_id = ""
        self.ledger.replication_id = lambda: self.replication_id  # type: ignore[method-assign]
        self.stable_id = StableReplicationId(lambda: self.replication_id, self.monotonic)
        self.queue_store = SqliteQueue(directory / "queue.db", 3)
        self.stores = Stores(self.store, self.queue_store, self.ledger, queue_faults=tuple)
        self.time = Time(self.clock, self.monotonic, sleep=self.pass_time, draw=lambda: 0.0)
        self.data_within = 30.0  # real seconds, unlike `SETTLE`; less only where the MTA is to hang
        self._pools: list[ConnectionPool] = []

    def clock(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.ticks

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.ticks += seconds

    def outbox(self, failpoint: FailpointHook = no_failpoint) -> Outbox:
        """Make the outbox of another process: with its own claim id and connections."""
        log = open_log("test", self.said)
        watchlist = Watchlist(self.stores, self.time)
        claim_id = ClaimId("host", self.boot, new_ref()[:8])
        smtp = Smtp.model_validate({"host": "localhost", "port": self.sink.port, "timeout": "30s"})
        clients = [SmtpClient(smtp, "notifier", self.data_within, failpoint) for _ in range(3)]
        self._pools.append(ConnectionPool(clients))
        return Outbox(
            self.stores,
            Recovery(self.stores, claim_id, self.time, failpoint=failpoint),
            ResultRecorder(self.stores, watchlist, self.context, self.metrics, log, self.time, failpoint=failpoint),
            self.context,
            Terms(self._pools[-1], SETTLE, GIVE_UP),
            lambda: claim_id.text(self.stable_id.current()),
            self.time,
            failpoint=failpoint,
        )

    def ends(self) -> None:
        """Wait until the threads of killed outboxes have ended, and the MTA is done with their connections."""
        for pool in self._pools:
            pool.close()
        until(lambda: not self.sink.connected, "the MTA to see that the connections are closed")

    def recovered(self, outbox: Outbox | None = None) -> Outbox:
        """Return the outbox of a notifier that has had time to recover and to send everything."""
        outbox = outbox or self.outbox()
        for _ in range(3):
            outbox.recover()
            self.pass_time(2 * SETTLE)
            while outbox.run_once():
                pass
        return outbox

    def queue(
        self, kind: MessageKind = MessageKind.NOTICE, reporters: tuple[str, ...] = ("vera@campus.example",)
    ) -> MessageRow:
        """Make a case with these reporters, and a message about it that is due now."""
        context, now = self.context.current, self.now
        with self.store.work() as work:
            case, new = work.case_for(f"sender:{new_ref()}", MALLORY, now)
            rows = [self._report(case, reporter) for reporter in reporters]
            for row in rows:
                work.add_report(row, new)
                new = False
            to_sender = kind.to_sender
            recipient = MALLORY.address if to_sender else reporters[0]
            facts: Facts = AcknowledgementFacts(Reason.NOTICE_DUE, case.number, notice_at=now + 900)
            if to_sender:
                facts = NoticeFacts(case.number, context.renderer.day(now - 3600), kind is MessageKind.FIRMER_NOTICE)
            outgoing = context.renderer.render(facts, recipient=recipient, ref=new_ref(), at=now)
            party = Party.SENDER if to_sender else Party.REPORTER
            message_id = work.enqueue(outgoing, case.id, party, "it", now, now)
            if to_sender:
                for row in rows:
                    work.join_notice(row.key, message_id)
            message = work.message_by_ref(outgoing.ref)
        assert message is not None
        return message

    def message(self, message: MessageRow) -> MessageRow:
        """Return the message as the record has it now."""
        with self.store.work() as work:
            found = work.message_by_ref(message.ref)
        assert found is not None
        return found

    def case(self, message: MessageRow) -> tuple[Case, list[Event], list[MessageRow]]:
        """Return a message's case, its events, and the messages about it."""
        with self.store.work() as work:
            number = work.case(message.case_id).number
        with self.store.reading() as reading:
            case = reading.case(number)
            assert case is not None
            return case, reading.events(case), reading.messages(case)

    def alerts(self, message: MessageRow) -> list[MessageRow]:
        """Return the alerts to staff about a message's case."""
        return [each for each in self.case(message)[2] if each.kind == MessageKind.STAFF_ALERT]

    def copies(self, message: MessageRow) -> int:
        """Return how often the MTA took it."""
        return sum(message.message_id.encode() in taken.data for taken in self.sink.taken)

    def trace(self, message: MessageRow, seen: float, own: bool = True) -> None:
        """Put a trace of this message in the ledger."""
        self.ledger.write([Trace(KEYRING.message(message.message_id), seen, own=own)])

    def close(self) -> None:
        for pool in self._pools:
            pool.close()
        self.sink.stop()
        self.stores.close()

    def _passes_the_milter(self, taken: Taken) -> None:
        if self.milter:
            head = taken.data.partition(b"\r\n\r\n")[0].decode("ascii")
            message_id = head.partition("Message-ID: <")[2].partition(">")[0]
            self.ledger.write([Trace(KEYRING.message(message_id), self.now, own=True)])

    def _report(self, case: Case, reporter: str) -> ReportRow:
        return report_row(case.id, f"{new_ref()}:0", self.now, reporter=reporter, message_sent_at=self.now - 3600)


@pytest.fixture
def rig(cases_url: str, tmp_path: Path) -> Iterator[Rig]:
    """Return a rig on each kind of database."""
    rig = Rig(cases_url, tmp_path)
    rig.sink.start()
    yield rig
    rig.close()


@pytest.fixture
def quick_rig(tmp_path: Path) -> Iterator[Rig]:
    """Return a rig on SQLite, for tests that do not depend on the database."""
    rig = Rig(f"sqlite:///{tmp_path}/cases.db", tmp_path)
    rig.sink.start()
    yield rig
    rig.close()


@pytest.fixture(params=[True, False], ids=["pipelining", "one-by-one"])
def batch_rig(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Rig]:
    """Return a rig on SQLite whose MTA takes several commands at once, or does not."""
    rig = Rig(f"sqlite:///{tmp_path}/cases.db", tmp_path, pipelining=request.param)
    rig.sink.start()
    yield rig
    rig.close()
