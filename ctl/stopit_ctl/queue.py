"""`stopitctl queue`: list, show, retry and drop reports in the queue.

A report names its reporter. Addresses are therefore shown as digests, as in the log, unless --addresses is given.
"""

from __future__ import annotations

from collections.abc import Iterator

import click

from stopit_core.errors import DecodeError, Transient
from stopit_core.identity.keys import Keyring
from stopit_core.model import AnswerReport, ContactReport, FlagReport, Report
from stopit_core.stores.queue import DeadLetter, Delivery, Queue
from stopit_core.stores.queue.spool import Spool
from stopit_core.wire import decode_report
from stopit_ctl.cli import EX_FOUND
from stopit_ctl.console_output import duration, local_time
from stopit_ctl.local_site import Site

__all__ = ["queue_group"]

_EVERYTHING = 1_000_000
_SHOWN = 50

addresses_option = click.option("--addresses", is_flag=True, help="Show addresses instead of digests.")


@click.group("queue")
def queue_group() -> None:
    """Reports that wait for the notifier, and reports set aside.

    A report that fails repeatedly is set aside (a dead letter). Correct the
    cause, then retry or drop it.
    """


@queue_group.command("list")
@click.option("--dead", is_flag=True, help="Only reports set aside.")
@click.option("--limit", type=click.IntRange(min=1), default=_SHOWN, show_default=True, help="Number of each.")
@click.pass_obj
def list_command(site: Site, dead: bool, limit: int) -> None:
    """List waiting reports, reports set aside, and the depth of the spool."""
    settings = site.settings()
    with site.queue(settings) as queue:
        depths = queue.depths()
        waiting = [] if dead else queue.waiting(limit)
        letters = queue.dead(limit)
    now = site.clock()
    if waiting:
        rows = [
            (each.id, _kind(each.payload), local_time(each.put_at), duration(now - each.put_at), str(each.attempts))
            for each in waiting
        ]
        site.output.table(("ID", "KIND", "PUT", "AGE", "TRIES"), rows)
        site.output.line()
    if letters:
        dead_rows = [
            (each.id, _kind(each.payload), local_time(each.buried_at), str(each.attempts), each.error)
            for each in letters
        ]
        site.output.table(("SET ASIDE", "KIND", "WHEN", "TRIES", "WHY"), dead_rows)
        site.output.line()
    oldest = f", the oldest for {duration(depths.oldest_age)}" if depths.waiting + depths.claimed else ""
    site.output.line(f"{depths.waiting} waiting, {depths.claimed} in process, {depths.dead} set aside{oldest}.")
    site.output.line(_spool_line(site, Spool(settings.queue.spool_dir)))


@queue_group.command("show")
@click.argument("report_id", metavar="ID")
@addresses_option
@click.pass_obj
def show_command(site: Site, report_id: str, addresses: bool) -> None:
    """Show a waiting report, or one set aside, in full."""
    settings = site.settings()
    keyring = site.keyring(settings)
    with site.queue(settings) as queue:
        found = _find(queue, report_id)
    if found is None:
        site.output.error(f"stopitctl: there is no report {report_id}; `stopitctl queue list` shows all")
        raise click.exceptions.Exit(EX_FOUND)
    facts = [("id", found.id), ("put", local_time(found.put_at)), ("tries", str(found.attempts))]
    if isinstance(found, DeadLetter):
        facts += [("set aside", local_time(found.buried_at)), ("why", found.error)]
    try:
        facts += list(_facts(decode_report(found.payload), keyring, addresses))
    except DecodeError as error:
        size = f"{len(found.payload)} bytes"
        facts += [("kind", f"unreadable: {error}")]
        facts += [("payload", found.payload.hex() if addresses else f"{size}; --addresses shows them in hex")]
    site.output.fields(facts)


@queue_group.command("retry")
@click.argument("dead_ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All reports set aside.")
@click.pass_obj
def retry_command(site: Site, dead_ids: tuple[str, ...], everything: bool) -> None:
    """Put reports set aside back into the queue."""
    if bool(dead_ids) == everything:
        raise click.UsageError("give the IDs of reports, or --all")
    with site.queue(site.settings()) as queue:
        chosen = tuple(each.id for each in queue.dead(_EVERYTHING)) if everything else dead_ids
        missing = [dead_id for dead_id in chosen if not queue.retry(dead_id)]
    site.output.line(f"{len(chosen) - len(missing)} put back into the queue.")
    _report_missing(site, missing)


@queue_group.command("drop")
@click.argument("dead_ids", metavar="ID...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Don't ask.")
@click.pass_obj
def drop_command(site: Site, dead_ids: tuple[str, ...], yes: bool) -> None:
    """Remove reports set aside, for good.

    A dropped report is never processed, and its reporter gets no answer: see
    `stopitctl queue show` first.
    """
    settings = site.settings()
    if not yes:
        click.confirm(f"Drop {len(dead_ids)} for good? Their reporters will get no answer", abort=True)
    with site.queue(settings) as queue:
        missing = [dead_id for dead_id in dead_ids if not queue.drop(dead_id)]
    site.output.line(f"{len(dead_ids) - len(missing)} dropped.")
    _report_missing(site, missing)


def _find(queue: Queue, report_id: str) -> DeadLetter | Delivery | None:
    letters = (each for each in queue.dead(_EVERYTHING) if each.id == report_id)
    waiting = (each for each in queue.waiting(_EVERYTHING) if each.id == report_id)
    return next(letters, None) or next(waiting, None)


def _facts(report: Report, keyring: Keyring, addresses: bool) -> Iterator[tuple[str, str]]:
    def person(address: str) -> str:
        return address if addresses else keyring.log(address)

    yield from (("kind", _name(report)), ("report", report.id), ("created", local_time(report.at)))
    yield "queue id", report.queue_id
    match report:
        case FlagReport():
            yield from (("channel", report.channel.value), ("command", report.command.value))
            yield "reporter", f"{person(report.reporter)} ({report.reporter_assurance.name.lower()})"
            for original in report.originals:
                name = original.message.hex() or "none was found"
                yield "original", f"{name}{' (ambiguous)' if original.ambiguous else ''}"
            yield "withheld", f"recipients: {report.withheld}" if report.withheld else ""
            yield "truncated", "the message was too long to be read completely" if report.truncated else ""
            yield "observed", "observed only: nothing is sent for it" if report.observed else ""
        case AnswerReport():
            yield from (("answers", report.ref), ("author", person(report.author)))
            yield "bounce", "from the null sender" if report.null_sender else ""
            yield "message", f"{len(report.raw)} bytes{'' if addresses else '; --addresses shows it'}"
            if addresses:
                yield from (("", line) for line in report.raw.decode("utf-8", "replace").splitlines())
        case ContactReport():
            yield "pair", report.pair.hex()


def _kind(payload: bytes) -> str:
    try:
        return _name(decode_report(payload))
    except DecodeError:
        return "unreadable"


def _name(report: Report) -> str:
    match report:
        case FlagReport():
            return f"flag ({report.command.value})"
        case AnswerReport():
            return "answer"
        case ContactReport():
            return "contact"


def _spool_line(site: Site, spool: Spool) -> str:
    try:
        with site.milter_user.acting():
            depth = spool.depth()
    except Transient as error:
        return f"The spool cannot be read: {error}"
    return f"{depth} in the spool, waiting for the queue." if depth else "The spool is empty."


def _report_missing(site: Site, missing: list[str]) -> None:
    for dead_id in missing:
        site.output.error(f"stopitctl: no report set aside has the id {dead_id}; see `stopitctl queue list --dead`")
    if missing:
        raise click.exceptions.Exit(EX_FOUND)
