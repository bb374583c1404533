"""`stopitctl restore`: restore a site from its backup.

Everything is checked before a store is written, and nothing is overwritten: restore stops at another key, or at a
case record with cases in it. The notices that were pending are resolved last (`restored_notices`); after an
interruption, `--in-place` does that again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import click

from stopit_core.config import Settings
from stopit_core.errors import DecodeError, Permanent
from stopit_core.open_stores import open_cases, open_queue
from stopit_core.wire import decode_report
from stopit_ctl.archive import CASES, LEDGER, Archive, Manifest, SavedFile
from stopit_ctl.cli import EX_FOUND
from stopit_ctl.console_output import local_time
from stopit_ctl.init import is_unconfigured
from stopit_ctl.local_site import Site, opened_cases, sqlite_file
from stopit_ctl.restored_notices import ResolvedNotices, resolve_pending_notices

__all__ = ["restore"]

_CONNECT_TIMEOUT = 2.0


@click.command()
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option("--in-place", is_flag=True, help="The stores were restored otherwise, by a snapshot or pg_restore.")
@click.option(
    "--nothing-since",
    is_flag=True,
    help="The daemons did not run after the backup was made: pending notices are sent.",
)
@click.pass_obj
def restore(site: Site, directory: Path | None, in_place: bool, nothing_since: bool) -> None:
    """Restore a site from the backup in DIR.

    The daemons must be stopped on all hosts. Nothing on this host is
    overwritten. Nobody gets a notice twice: a notice that was pending is
    cancelled and left to staff, unless the ledger shows that it was sent, and
    staff decide on flags of mail that passed before now.
    """
    if (directory is None) is not in_place or (in_place and nothing_since):
        raise click.UsageError("give the DIR of the backup, or --in-place")
    before = os.umask(0o007)  # only the daemons may read the new files
    try:
        if directory is None:
            _in_place(site)
        else:
            _Restoring(site, Archive(directory.absolute())).run(nothing_since)
    except (Permanent, DecodeError) as error:
        site.output.error(f"stopitctl: {error}")
        raise click.exceptions.Exit(EX_FOUND) from error
    finally:
        os.umask(before)


def _in_place(site: Site) -> None:
    settings = site.settings()
    keyring = site.keyring(settings)
    _must_be_stopped(settings)
    notifier = site.notifier_user
    with notifier.acting(), opened_cases(settings.cases, notifier.read) as store:
        store.migrate()
        with store.reading() as reading:
            made_at = reading.last_event_at()
        resolved = resolve_pending_notices(site, settings, keyring, store, made_at)
    site.output.line(f"Last entry of the case record: {local_time(made_at) or 'none, it is empty'}.")
    _print_resolved(site, resolved)


@dataclass(frozen=True, slots=True)
class _Restoring:
    """One restore from a backup."""

    site: Site
    archive: Archive

    def run(self, nothing_since: bool) -> None:
        manifest = self.archive.verified_manifest()
        configuration, key, *rest = manifest.configuration
        self._file(configuration, self.site.path)
        settings = self.site.settings()
        _must_be_stopped(settings)
        self._must_be_new(settings)
        self._key(key, settings)
        for each in rest:
            self._file(each, Path(each.path))
        keyring = self.site.keyring(settings)
        self._ledger(settings, manifest)
        reports = self._reports(settings)
        resolved = None
        with (
            self.archive.reading(CASES) as lines,
            self.site.notifier_user.acting(),
            closing(open_cases(settings.cases, self.site.notifier_user.read)) as store,
        ):
            counted = store.fill(line.rstrip(b"\n") for line in lines)
            if not nothing_since:
                resolved = resolve_pending_notices(self.site, settings, keyring, store, manifest.made_at)
        what = f"cases: {counted['cases']}, reports: {reports}"
        self.site.output.line(f"Restored the backup of {local_time(manifest.made_at)}: {what}.")
        _print_resolved(self.site, resolved)
        self.site.output.line("Next: `stopitctl check`; then start the daemons; then `stopitctl doctor`.")

    def _must_be_new(self, settings: Settings) -> None:
        notifier = self.site.notifier_user
        with notifier.acting(), closing(open_cases(settings.cases, notifier.read)) as store:
            if store.is_empty():
                return
        raise Permanent(
            "the case record of cases.url has cases in it, and a backup is restored into an empty one only. Move it"
            " away (a SQLite file together with its -wal and -shm). If a restore was interrupted,"
            " `stopitctl restore --in-place` completes it"
        )

    def _key(self, key: SavedFile, settings: Settings) -> None:
        """Restore the key. A new key that was not used yet is moved aside."""
        path = settings.ledger.key_file
        if path.exists() and path.read_bytes().strip() != self._data(key).strip():
            ledger = sqlite_file(settings.ledger.url)
            if ledger is None or (ledger.exists() and ledger.stat().st_size):
                raise Permanent(
                    f"{path}: is not the key of the backup, and the ledger here may have been written with it."
                    " Move both away, or restore on another host"
                )
            kept_as = path.with_name(f"{path.name}.before-restore")
            path.rename(kept_as)
            self.site.output.line(f"kept     {kept_as} (the former {path}, which was not used yet)")
        self._file(key, path)

    def _file(self, saved: SavedFile, path: Path) -> None:
        if path.suffix == ".toml" and is_unconfigured(path):
            path.unlink()
        if path.exists():
            same = path.read_bytes() == self._data(saved)
            self.site.output.line(f"kept     {path}{'' if same else ': it differs from the one in the backup'}")
            return
        try:
            path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            path.touch(mode=0o600, exist_ok=False)
            _set_owner(path, saved)
            path.write_bytes(self._data(saved))
        except OSError as error:
            raise Permanent(f"{path}: {error.strerror}") from error
        self.site.output.line(f"written  {path}")

    def _data(self, saved: SavedFile) -> bytes:
        with self.archive.reading(saved.name) as file:
            return file.read()

    def _ledger(self, settings: Settings, manifest: Manifest) -> None:
        path = sqlite_file(settings.ledger.url)
        if path is None or LEDGER not in manifest.checksums:
            return
        if path.exists() and path.stat().st_size:
            self.site.output.line(f"kept     {path}: it is newer than the one in the backup")
            return
        if (wal := path.with_name(f"{path.name}-wal")).exists():
            raise Permanent(f"{wal}: belongs to another ledger; move it away, together with its -shm")
        with self.archive.reading(LEDGER) as source, self.site.milter_user.acting():
            try:
                with path.open("wb") as target:
                    shutil.copyfileobj(source, target)
                    os.fsync(target.fileno())
            except OSError as error:
                raise Permanent(f"{path}: {error.strerror}") from error
        self.site.output.line(f"written  {path}")

    def _reports(self, settings: Settings) -> int:
        payloads = list(self.archive.reports())
        notifier = self.site.notifier_user
        with notifier.acting(), closing(open_queue(settings.queue, notifier.read)) as queue:
            for payload in payloads:
                queue.put(_report_id(payload), payload)
        return len(payloads)


def _set_owner(path: Path, saved: SavedFile) -> None:
    """Set the owner and mode of the saved file. Without such a user, it stays readable by this user only."""
    try:
        shutil.chown(path, saved.owner, saved.group)
    except (LookupError, PermissionError):
        return
    path.chmod(saved.mode)


def _report_id(payload: bytes) -> str:
    try:
        return decode_report(payload).id
    except DecodeError:  # it was set aside because it is unreadable, and will be again
        return hashlib.sha256(payload).hexdigest()[:32]


def _must_be_stopped(settings: Settings) -> None:
    for name, address in (("stopit-milter", settings.milter.metrics), ("stopit-notifier", settings.notifier.metrics)):
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_TIMEOUT).close()
        except OSError:
            continue
        raise Permanent(f"{name} is running (it answers at {address}): stop both daemons first, on every host")


def _print_resolved(site: Site, resolved: ResolvedNotices | None) -> None:
    if resolved is None:
        return
    if resolved.sent:
        site.output.line(f"Pending notices that had been sent, according to the ledger: {resolved.sent}.")
    for number in resolved.cancelled:
        site.output.line(f"Cancelled, for staff to decide: the notice of case {number}.")
    site.output.line("Staff decide on flags of mail that passed before now: its notice may have been sent.")
    site.output.line("Copies of mail that was flagged after the backup are in the staff mailbox.")
