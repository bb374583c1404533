"""Probes the stores for `check` and `doctor`: ledger, queue, spool, case record.

A probe creates no file. Before the daemons have run, a SQLite file that does not exist is not a fault.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from stopit_core.config import Cases, LedgerStore, QueueStore, Settings
from stopit_core.credentials import ReadSecret
from stopit_core.errors import ConfigError, NotAllowed, Transient
from stopit_core.open_stores import queue_durability_faults
from stopit_core.stores.queue.spool import Spool
from stopit_ctl.doctor.as_user import probe_as
from stopit_ctl.local_site import Site, opened_cases, opened_ledger, opened_queue, sqlite_file
from stopit_ctl.probe_results import ProbeResult, config_faults

__all__ = ["probe_stores"]

_CREATE = "create it, owned by the user that the daemons run as"
_WRITABLE = "and its directory must be writable by the user that the daemons run as"


def probe_stores(site: Site, settings: Settings, running: bool, reads: bool = False) -> Iterator[ProbeResult]:
    """Probe every store as each daemon that uses it.

    `running`: the daemons have been started, so the files that they create must exist. `reads`: a notifier works on
    this host, so its user must be able to read reports.
    """
    ledger, queue, cases = settings.ledger, settings.queue, settings.cases
    for user in site.users():
        probe_ledger, probe_queue = partial(_ledger, ledger, user.read), partial(_queue, queue, user.read, reads)
        yield from probe_as(user, partial(_store, "ledger", ledger.url, running, probe_ledger))
        yield from probe_as(user, partial(_store, "queue", queue.url, running, probe_queue))
    yield from probe_as(site.milter_user, lambda: _spool(queue.spool_dir))
    notifier = site.notifier_user
    probe_cases = partial(_cases, cases, notifier.read, running)
    yield from probe_as(notifier, partial(_store, "case record", cases.url, running, probe_cases))
    yield from _dead_letters(site, queue)
    yield from _durability(queue, notifier.read)


def _store(name: str, url: str, running: bool, probe: Callable[[], Iterator[ProbeResult]]) -> Iterator[ProbeResult]:
    path = sqlite_file(url)
    try:
        if path is not None and not _exists(path):
            yield _missing(name, path, running)
            return
        yield from probe()
    except ConfigError as error:
        yield from config_faults(error)
    except Transient as error:
        yield ProbeResult.fault(f"{name}: {error}", _advice(name, path))


def _ledger(settings: LedgerStore, read: ReadSecret) -> Iterator[ProbeResult]:
    with opened_ledger(settings, read) as ledger:
        ledger.ping()
    yield ProbeResult.ok("ledger: answers, and accepts writes")


def _queue(settings: QueueStore, read: ReadSecret, reads: bool) -> Iterator[ProbeResult]:
    with opened_queue(settings, read) as queue:
        queue.ping()
        try:
            depths = queue.depths()
        except NotAllowed as error:
            yield ProbeResult.ok("queue: answers, and accepts writes")
            if reads:
                yield ProbeResult.fault(
                    f"queue: a notifier runs here and may not read reports: {error}",
                    "give its user the rights that stopit-notifier has in users.acl",
                )
            else:
                yield ProbeResult.untried(
                    "queue: the reports in it, and the durability of its server",
                    "this user may only add reports, as a milter's user may; run doctor where the notifier runs",
                )
            return
    yield ProbeResult.ok(f"queue: answers, and accepts writes; reports in it: {depths.waiting + depths.claimed}")


def _dead_letters(site: Site, settings: QueueStore) -> Iterator[ProbeResult]:
    try:
        with site.notifier_user.acting(), opened_queue(settings, site.notifier_user.read) as queue:
            dead = queue.depths().dead
    except (ConfigError, Transient):
        return  # the probe of the queue reports it
    if dead:
        yield ProbeResult.fault(
            f"queue: reports set aside: {dead}",
            "see `stopitctl queue list --dead`, then retry or drop each",
        )


def _durability(settings: QueueStore, read: ReadSecret) -> Iterator[ProbeResult]:
    try:
        faults = queue_durability_faults(settings, read)
    except NotAllowed as error:
        if _may_read(settings, read):
            yield ProbeResult.fault(
                f"queue: the durability of its server is not known: {error}",
                "let the notifier's user read it: ACL SETUSER, +config|get",
            )
        return
    except (ConfigError, Transient):
        return  # the probe of the queue reports it
    for fault in faults:
        yield ProbeResult.fault(
            f"queue: {fault}", "set it in redis.conf and restart Redis, or a power cut can lose reports"
        )
    if not faults and sqlite_file(settings.url) is None:
        yield ProbeResult.ok("queue: the Redis server is configured to lose nothing in a power cut")


def _may_read(settings: QueueStore, read: ReadSecret) -> bool:
    """Return whether its user may read reports. A milter's user may not, and need not read the durability either."""
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
    text = "case record: answers, but its tables are not those of this version"
    advice = "start (or restart) stopit-notifier, which upgrades them"
    yield ProbeResult.fault(text, advice) if running else ProbeResult.untried(text, advice)


def _spool(directory: Path) -> Iterator[ProbeResult]:
    try:
        if not _exists(directory):
            yield _can_create("spool", directory.parent, "the milter creates it when it is needed")
            return
        spool = Spool(directory)
        spool.ping()
        depth = spool.depth()
    except Transient as error:
        yield ProbeResult.fault(str(error), f"{directory} must be writable by the user that the daemons run as")
        return
    if depth:
        yield ProbeResult.fault(
            f"spool: reports waiting for the queue: {depth}", "make sure that the queue and stopit-milter work"
        )
    else:
        yield ProbeResult.ok("spool: accepts files, and is empty")


def _missing(name: str, path: Path, running: bool) -> ProbeResult:
    if running:
        return ProbeResult.fault(f"{name}: there is no {path}", "`systemctl status` shows whether the daemons run")
    return _can_create(name, path.parent, "the daemons create the file when they start")


def _can_create(name: str, directory: Path, then: str) -> ProbeResult:
    if not directory.is_dir():
        return ProbeResult.fault(f"{name}: there is no directory {directory}", _CREATE)
    if not os.access(directory, os.W_OK | os.X_OK, effective_ids=True):
        return ProbeResult.fault(
            f"{name}: no file can be created in {directory}", "give the directory to the user that the daemons run as"
        )
    return ProbeResult.ok(f"{name}: {directory} is writable; {then}")


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise Transient(f"{path}: {error.strerror}") from error
    return True


def _advice(name: str, path: Path | None) -> str:
    if path is not None:
        return f"{path} {_WRITABLE}"
    return f"start the server of the {name}, or correct its URL; the server's log shows more"
