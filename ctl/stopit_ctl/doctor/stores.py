"""The stores as `check` and `doctor` look at them: ledger, queue, spool, case record.

Looking makes no file: a SQLite file that a daemon makes later is no fault before the daemons ever ran.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from stopit_core.config import Cases, LedgerStore, QueueStore, Settings
from stopit_core.credentials import ReadSecret
from stopit_core.errors import ConfigError, NotAllowed, Transient
from stopit_core.open_stores import queue_durability_faults
from stopit_core.stores.queue.spool import Spool
from stopit_ctl.local_site import Site, opened_cases, opened_ledger, opened_queue, sqlite_file
from stopit_ctl.probe_results import ProbeResult, config_faults
from stopit_ctl.service_user import ServiceUser

__all__ = ["probe_as", "probe_stores"]

_MAKE = "make it, owned by the user that the daemons run as"


def probe_stores(site: Site, settings: Settings, running: bool, reads: bool = False) -> Iterator[ProbeResult]:
    """Every store, as each daemon that uses it.

    `running`: they were started, so what they make must be there. `reads`: a notifier works on this host, so their
    user must be able to read reports.
    """
    ledger, queue, cases = settings.ledger, settings.queue, settings.cases
    for user in site.users():
        look_ledger, look_queue = partial(_ledger, ledger, user.read), partial(_queue, queue, user.read, reads)
        yield from probe_as(user, partial(_store, "ledger", ledger.url, running, look_ledger))
        yield from probe_as(user, partial(_store, "queue", queue.url, running, look_queue))
    yield from probe_as(site.milter_user, lambda: _spool(queue.spool_dir))
    notifier = site.notifier_user
    look_cases = partial(_cases, cases, notifier.read, running)
    yield from probe_as(notifier, partial(_store, "case record", cases.url, running, look_cases))
    yield from _dead_letters(site, queue)
    yield from _durability(queue, site.notifier_user.read)


def probe_as(user: ServiceUser, look: Callable[[], Iterator[ProbeResult]]) -> list[ProbeResult]:
    """What is found with the rights of this user."""
    found: list[ProbeResult] = []
    try:
        with user.acting():
            found.extend(look())
    except (ImportError, OSError) as error:
        found.append(
            ProbeResult.fault(f"a file of the program itself cannot be read: {error}", "install it for all users")
        )
    if not user.reachable:
        return found
    return [replace(result, text=f"{result.text} (as {user.name})") for result in found]


def _store(name: str, url: str, running: bool, look: Callable[[], Iterator[ProbeResult]]) -> Iterator[ProbeResult]:
    path = sqlite_file(url)
    try:
        if path is not None and not _is_there(path):
            yield _not_there_yet(name, path, running)
            return
        yield from look()
    except ConfigError as error:
        yield from config_faults(error)
    except Transient as error:
        yield ProbeResult.fault(f"{name}: {error}", _advice(name, path))


def _ledger(settings: LedgerStore, read: ReadSecret) -> Iterator[ProbeResult]:
    with opened_ledger(settings, read) as ledger:
        ledger.ping()
    yield ProbeResult.ok("ledger: answers, and takes writes")


def _queue(settings: QueueStore, read: ReadSecret, reads: bool) -> Iterator[ProbeResult]:
    with opened_queue(settings, read) as queue:
        queue.ping()
        try:
            depths = queue.depths()
        except NotAllowed as error:
            yield ProbeResult.ok("queue: answers, and takes writes")
            if reads:
                yield ProbeResult.fault(
                    f"queue: a notifier runs here, and may not read reports: {error}",
                    "let its user do what stopit-notifier may in users.acl",
                )
            else:
                yield ProbeResult.untried(
                    "queue: what is in it, and whether its server is set to lose nothing",
                    "this user may only put reports, as a milter's may; ask where the notifier runs",
                )
            return
    yield ProbeResult.ok(f"queue: answers, and takes writes; reports in it: {depths.waiting + depths.claimed}")


def _dead_letters(site: Site, settings: QueueStore) -> Iterator[ProbeResult]:
    try:
        with site.notifier_user.acting(), opened_queue(settings, site.notifier_user.read) as queue:
            dead = queue.depths().dead
    except (ConfigError, Transient):
        return  # the queue itself was found faulty
    if dead:
        yield ProbeResult.fault(
            f"queue: reports set aside: {dead}",
            "look at them with `stopitctl queue list --dead`, then retry or drop each",
        )


def _durability(settings: QueueStore, read: ReadSecret) -> Iterator[ProbeResult]:
    try:
        faults = queue_durability_faults(settings, read)
    except NotAllowed as error:
        if _may_read(settings, read):
            yield ProbeResult.fault(
                f"queue: nobody can tell whether its server could lose reports: {error}",
                "let the notifier's user ask it: ACL SETUSER, +config|get",
            )
        return
    except (ConfigError, Transient):
        return  # the queue itself was found faulty
    for fault in faults:
        yield ProbeResult.fault(
            f"queue: {fault}", "set it in redis.conf and restart Redis, or reports can be lost in a power cut"
        )
    if not faults and sqlite_file(settings.url) is None:
        yield ProbeResult.ok("queue: the Redis server is set to lose nothing in a power cut")


def _may_read(settings: QueueStore, read: ReadSecret) -> bool:
    """Whether its user is a notifier's: a milter's reads no report, and what it may not ask is not its to ask."""
    with opened_queue(settings, read) as queue:
        try:
            queue.depths()
        except Transient:
            return False
    return True


def _cases(settings: Cases, read: ReadSecret, running: bool) -> Iterator[ProbeResult]:
    with opened_cases(settings, read) as store:
        store.ping()
        current = store.is_current()
    if current:
        yield ProbeResult.ok("case record: answers, and its tables are those of this version")
        return
    what = "case record: answers, but its tables are not those of this version"
    advice = "start (or restart) stopit-notifier, which brings them up to date"
    yield ProbeResult.fault(what, advice) if running else ProbeResult.untried(what, advice)


def _spool(directory: Path) -> Iterator[ProbeResult]:
    try:
        if not _is_there(directory):
            yield _writable("spool", directory.parent, "the milter makes it at first need")
            return
        spool = Spool(directory)
        spool.ping()
        depth = spool.depth()
    except Transient as error:
        yield ProbeResult.fault(str(error), f"{directory} must be writable by the user that the daemons run as")
        return
    if depth:
        yield ProbeResult.fault(
            f"spool: reports waiting for the queue: {depth}", "see whether the queue and stopit-milter are well"
        )
    else:
        yield ProbeResult.ok("spool: takes files, and is empty")


def _not_there_yet(name: str, path: Path, running: bool) -> ProbeResult:
    if running:
        return ProbeResult.fault(f"{name}: there is no {path}", "see with `systemctl status` whether the daemons run")
    return _writable(name, path.parent, "the daemons make the file when they start")


def _writable(name: str, directory: Path, then: str) -> ProbeResult:
    if not directory.is_dir():
        return ProbeResult.fault(f"{name}: there is no directory {directory}", _MAKE)
    if not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
        return ProbeResult.fault(
            f"{name}: no file can be made in {directory}", "give the directory to the user that the daemons run as"
        )
    return ProbeResult.ok(f"{name}: {directory} is writable; {then}")


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise Transient(f"{path}: {error.strerror}") from error
    return True


def _advice(name: str, path: Path | None) -> str:
    if path is not None:
        return f"{path} and its directory must be writable by the user that the daemons run as"
    return f"start the server of the {name}, or mend its URL; the server's own log says more"
