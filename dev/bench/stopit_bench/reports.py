"""Reports and traces of a busy day, written to queue and ledger without any mail.

`put_flood`: all of many recipients flag the same message; an MTA passes it in portions of a thousand recipients
(smtpd_recipient_limit of Postfix). `put_singles`: many messages, each flagged by its one recipient.
"""

from __future__ import annotations

from collections.abc import Iterator

from stopit_bench.site import CAMPUS, BenchSite
from stopit_core.identity.keys import Keyring
from stopit_core.model import Assurance, Channel, Command, Digest, FlagReport, Original, Trace
from stopit_core.open_stores import open_ledger, open_queue
from stopit_core.wire import encode_report

__all__ = ["flag_by", "put_flood", "put_singles", "trace_of"]

_PORTION = 1000


def trace_of(keyring: Keyring, number: int, seen: float) -> Trace:
    """Return the trace of an ordinary message from a member to one recipient. Each number gives a different trace."""
    sender, recipient = f"member{number % 30_000}", f"member{(number * 7 + 1) % 30_000}@{CAMPUS}"
    address = f"{sender}@{CAMPUS}"
    return Trace(
        message=keyring.message(f"{number:x}.{number * 2654435761 % 2**32:x}@{CAMPUS}"),
        seen=seen,
        queue_id=f"4X{number % 2**36:09X}",
        login=sender,
        mail_from=address,
        header_from=address,
        client=f"192.0.2.{number % 250 + 1}",
        recipient_count=1,
        recipients=keyring.address(recipient),
    )


def put_flood(site: BenchSite, name: str, members: int, seen: float) -> None:
    """Put the traces of one message to this number of members, and a flag from each of them."""
    keyring = site.keyring
    original = keyring.message(f"{name}@{CAMPUS}")
    people = [f"{name}.{number}@{CAMPUS}" for number in range(members)]
    ledger, queue = open_ledger(site.settings.ledger), open_queue(site.settings.queue)
    try:
        ledger.write(
            [
                _pass(keyring, original, f"{name}.{at}", people[at : at + _PORTION], f"sender.{name}", seen)
                for at in range(0, members, _PORTION)
            ]
        )
        for person in people:
            report = flag_by(person, original, seen)
            queue.put(report.id, encode_report(report))
    finally:
        queue.close()
        ledger.close()


def put_singles(site: BenchSite, name: str, count: int, seen: float) -> None:
    """Put the traces of `count` messages from as many senders, and a flag from each one's recipient."""
    keyring = site.keyring
    ledger, queue = open_ledger(site.settings.ledger), open_queue(site.settings.queue)
    try:
        for part in _parts(count):
            originals = {number: keyring.message(f"{name}.{number}@{CAMPUS}") for number in part}
            ledger.write(
                [
                    _pass(keyring, original, f"{name}.{n}", [f"{name}.r{n}@{CAMPUS}"], f"{name}.s{n}", seen)
                    for n, original in originals.items()
                ]
            )
            for number, original in originals.items():
                report = flag_by(f"{name}.r{number}@{CAMPUS}", original, seen)
                queue.put(report.id, encode_report(report))
    finally:
        queue.close()
        ledger.close()


def flag_by(reporter: str, original: Digest, at: float) -> FlagReport:
    """Return the report of a member's flagging reply, which was withheld."""
    return FlagReport(
        id=f"{original.hex()[:16]}-{reporter.partition('@')[0].replace('.', '-')}",
        at=at,
        queue_id="4XFLAG",
        channel=Channel.REPLY,
        command=Command.FLAG,
        reporter=reporter,
        reporter_assurance=Assurance.AUTHENTICATED,
        originals=(Original(original),),
        withheld=1,
    )


def _pass(keyring: Keyring, original: Digest, queue_id: str, recipients: list[str], login: str, seen: float) -> Trace:
    address = f"{login}@{CAMPUS}"
    return Trace(
        message=original,
        seen=seen,
        queue_id=queue_id,
        login=login,
        mail_from=address,
        header_from=address,
        client="192.0.2.7",
        recipient_count=len(recipients),
        recipients=b"".join(map(keyring.address, recipients)),
    )


def _parts(count: int) -> Iterator[range]:
    for at in range(0, count, _PORTION):
        yield range(at, min(at + _PORTION, count))
