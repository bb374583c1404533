"""`stopitctl backup`: copy everything that a site needs into one directory.

A report moves from the spool to the queue to the case record, and they are copied in this order. A report that moves
during the backup is therefore in it once or twice, and the case record accepts each report once. The daemons may run.
"""

from __future__ import annotations

import grp
import pwd
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import click

from stopit_core.config import Settings
from stopit_core.errors import Permanent, Transient
from stopit_core.stores.queue.spool import Spool
from stopit_ctl.archive import CASES, LEDGER, Archive, SavedFile
from stopit_ctl.cli import EX_FOUND
from stopit_ctl.console_output import local_time
from stopit_ctl.local_site import Site, sqlite_file

__all__ = ["backup"]

_ALL = 10_000_000
_PAGES = 2000
"""Number of pages of the ledger copied at a time; the milter's trace writer waits while they are copied."""


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--no-ledger", is_flag=True, help="Leave out the ledger: then staff decide on flags of older mail.")
@click.pass_obj
def backup(site: Site, directory: Path, no_ledger: bool) -> None:
    """Make a backup of this site in DIR, a new directory.

    The backup contains the configuration with the site's key, the reports that
    wait, the case record, and the ledger where it is a SQLite file. The
    daemons may run. Only the owner can read DIR, because every case can be
    read with it. `stopitctl restore` restores the backup.
    """
    settings = site.settings()
    site.keyring(settings)  # fails now, not at the restore, when the key is faulty
    made_at = site.clock()
    try:
        archive = Archive.new(directory.absolute())
        reports = _reports(site, settings, archive)
        cases = _cases(site, settings, archive)
        ledger = "left out (--no-ledger)" if no_ledger else _ledger(site, settings, archive)
        saved = _configuration(site, settings, archive)
        archive.finish(made_at, saved)
    except Permanent as error:
        site.output.error(f"stopitctl: {error}")
        raise click.exceptions.Exit(EX_FOUND) from error
    site.output.line(f"Backup of {local_time(made_at)} in {archive.directory}:")
    site.output.fields(
        (
            ("files", f"{len(saved)} of the configuration, with the key"),
            ("reports", f"{reports} waiting"),
            ("cases", f"{cases}"),
            ("ledger", ledger),
        )
    )
    site.output.line("Every case can be read with it: keep it where nobody else has access.")


def _reports(site: Site, settings: Settings, archive: Archive) -> int:
    with site.milter_user.acting():
        found = Spool(settings.queue.spool_dir).waiting()
    with site.queue(settings) as queue:
        found += [each.payload for each in queue.waiting(_ALL)]
        found += [each.payload for each in queue.dead(_ALL)]
    found = list(dict.fromkeys(found))
    for number, payload in enumerate(found, 1):
        with archive.writing(f"reports/{number:08}") as file:
            file.write(payload)
    return len(found)


def _cases(site: Site, settings: Settings, archive: Archive) -> str:
    rows = -1
    with archive.writing(CASES) as file, site.cases(settings) as store, store.copy() as lines:
        for line in lines:
            file.write(line + b"\n")
            rows += 1
    with site.cases(settings) as store, store.reading() as reading:
        return f"{sum(reading.totals(site.clock()).cases.values())}, in {rows} rows"


def _ledger(site: Site, settings: Settings, archive: Archive) -> str:
    path = sqlite_file(settings.ledger.url)
    if path is None:
        return "not included: it is in Redis, which has its own backups"
    if not path.exists() or not path.stat().st_size:
        return "none yet"
    target = archive.directory / LEDGER
    with archive.writing(LEDGER):
        pass
    try:
        with site.milter_user.acting():  # otherwise root would own -wal and -shm
            source = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
            source.execute("PRAGMA user_version").fetchone()
        with closing(source), closing(sqlite3.connect(target)) as copy:
            source.backup(copy, pages=_PAGES)
            copy.execute("PRAGMA journal_mode = DELETE").close()  # a single file, complete without -wal
            (traces,) = copy.execute("SELECT count(*) FROM trace").fetchone()
    except sqlite3.Error as error:
        raise Transient(f"sqlite {path}: {error}") from error
    return f"{traces} traces, {target.stat().st_size // 1024} kB"


def _configuration(site: Site, settings: Settings, archive: Archive) -> tuple[SavedFile, ...]:
    saved = []
    for number, path in enumerate(dict.fromkeys(_paths(site, settings)), 1):
        name = f"etc/{number:02}-{path.name}"
        try:
            data, status = path.read_bytes(), path.stat()
        except OSError as error:
            raise Permanent(f"{path}: {error.strerror}") from error
        with archive.writing(name) as file:
            file.write(data)
        saved.append(SavedFile(name, str(path), _user(status.st_uid), _group(status.st_gid), status.st_mode & 0o777))
    return tuple(saved)


def _paths(site: Site, settings: Settings) -> Iterator[Path]:
    """Return the files of the configuration: first stopit.toml, second the key."""
    yield from (site.path.absolute(), settings.ledger.key_file.absolute())
    servers = (settings.queue, settings.ledger, settings.cases, settings.smtp)
    others = (settings.identity.aliases, *(server.password_file for server in servers))
    yield from (path.absolute() for path in others if path)
    if templates := settings.notifier.templates:
        yield from sorted(path.absolute() for path in templates.iterdir() if path.is_file())


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return ""


def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return ""
