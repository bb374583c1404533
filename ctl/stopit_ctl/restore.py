"""`stopitctl restore`: a site from its backup, in the order in which nothing can go wrong by half.

Everything is looked at before a store is written. Nothing that is here is overwritten: another key, or a case record
that has cases, ends it. What the record has forgotten since the backup was made is dealt with last (`forgotten`);
where that was interrupted, `--in-place` does it again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import tomllib
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
from stopit_ctl.local_site import Site, opened_cases, sqlite_file
from stopit_ctl.restored_notices import SettledNotices, settle_pending_notices

__all__ = ["restore"]

_TRY = 2.0


@click.command()
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option("--in-place", is_flag=True, help="The stores came back in another way, by a snapshot or pg_restore.")
@click.option(
    "--nothing-since",
    is_flag=True,
    help="Nothing ran since the backup was made: notices that wait leave by themselves.",
)
@click.pass_obj
def restore(site: Site, directory: Path | None, in_place: bool, nothing_since: bool) -> None:
    """Bring a site back from the backup in DIR.

    The daemons must be stopped, on all hosts. Nothing that is here is
    overwritten. Then it is seen to that nobody gets a notice twice: one that
    waited is left to staff, unless the ledger shows that it had gone; and of
    mail that passed before now staff decide.
    """
    if (directory is None) is not in_place or (in_place and nothing_since):
        raise click.UsageError("name the backup's DIR, or say --in-place")
    before = os.umask(0o007)  # what is made here is the daemons', and nobody else's
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
        forgotten = settle_pending_notices(site, settings, keyring, store, made_at)
    site.output.line(f"The last that the case record knows is of {local_time(made_at) or 'no time: it is empty'}.")
    _tell(site, forgotten)


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
        forgotten = None
        with (
            self.archive.reading(CASES) as lines,
            self.site.notifier_user.acting(),
            closing(open_cases(settings.cases, self.site.notifier_user.read)) as store,
        ):
            counted = store.fill(line.rstrip(b"\n") for line in lines)
            if not nothing_since:
                forgotten = settle_pending_notices(self.site, settings, keyring, store, manifest.made_at)
        what = f"cases: {counted['cases']}, reports that waited: {reports}"
        self.site.output.line(f"Brought back, of {local_time(manifest.made_at)}: {what}.")
        _tell(self.site, forgotten)
        self.site.output.line("Next: `stopitctl check`; then start the daemons; then `stopitctl doctor`.")

    def _must_be_new(self, settings: Settings) -> None:
        notifier = self.site.notifier_user
        with notifier.acting(), closing(open_cases(settings.cases, notifier.read)) as store:
            if store.is_empty():
                return
        raise Permanent(
            "the case record that cases.url names has cases in it, and a backup goes into an empty one. Move it out"
            " of the way: a SQLite file together with its -wal and -shm. (Where a restore was interrupted,"
            " `stopitctl restore --in-place` ends it.)"
        )

    def _key(self, key: SavedFile, settings: Settings) -> None:
        """The backup's key. One that an installation made, with nothing sealed yet, makes room for it."""
        path = settings.ledger.key_file
        if path.exists() and path.read_bytes().strip() != self._data(key).strip():
            ledger = sqlite_file(settings.ledger.url)
            if ledger is None or (ledger.exists() and ledger.stat().st_size):
                raise Permanent(
                    f"{path}: is another key than the backup's, and the ledger here may have been written with it."
                    " Move both out of the way, or restore on a host of its own"
                )
            kept_as = path.with_name(f"{path.name}.before-restore")
            path.rename(kept_as)
            self.site.output.line(f"kept     {kept_as} (what was {path}, and had sealed nothing yet)")
        self._file(key, path)

    def _file(self, kept: SavedFile, path: Path) -> None:
        if _says_nothing(path):
            path.unlink()
        if path.exists():
            same = path.read_bytes() == self._data(kept)
            self.site.output.line(f"kept     {path}{'' if same else ': it is not as it was in the backup'}")
            return
        try:
            path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            path.touch(mode=0o600, exist_ok=False)
            _give(path, kept)
            path.write_bytes(self._data(kept))
        except OSError as error:
            raise Permanent(f"{path}: {error.strerror}") from error
        self.site.output.line(f"written  {path}")

    def _data(self, kept: SavedFile) -> bytes:
        with self.archive.reading(kept.name) as file:
            return file.read()

    def _ledger(self, settings: Settings, manifest: Manifest) -> None:
        path = sqlite_file(settings.ledger.url)
        if path is None or LEDGER not in manifest.checksums:
            return
        if path.exists() and path.stat().st_size:
            self.site.output.line(f"kept     {path}: it knows more than the one in the backup")
            return
        if (wal := path.with_name(f"{path.name}-wal")).exists():
            raise Permanent(f"{wal}: is what another ledger left; move it out of the way, and its -shm too")
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


def _give(path: Path, kept: SavedFile) -> None:
    """To whom it belonged, where there is such a user; else it stays its maker's alone."""
    try:
        shutil.chown(path, kept.owner, kept.group)
    except (LookupError, PermissionError):
        return
    path.chmod(kept.mode)


def _says_nothing(path: Path) -> bool:
    """Whether it is a configuration of comments only, as the Debian package brings it."""
    try:
        return path.suffix == ".toml" and tomllib.loads(path.read_text("utf-8")) == {}
    except (OSError, ValueError):
        return False


def _report_id(payload: bytes) -> str:
    try:
        return decode_report(payload).id
    except DecodeError:  # it was set aside for that, and will be again
        return hashlib.sha256(payload).hexdigest()[:32]


def _must_be_stopped(settings: Settings) -> None:
    for name, address in (("stopit-milter", settings.milter.metrics), ("stopit-notifier", settings.notifier.metrics)):
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=_TRY).close()
        except OSError:
            continue
        raise Permanent(f"{name} runs (it answers at {address}): stop both daemons first, on every host")


def _tell(site: Site, forgotten: SettledNotices | None) -> None:
    if forgotten is None:
        return
    if forgotten.had_left:
        site.output.line(f"Notices that had left before, as the ledger shows: {forgotten.had_left}.")
    for number in forgotten.called_off:
        site.output.line(f"Called off, and left to staff: the notice of case {number}.")
    site.output.line("Of mail that passed before now, staff decide: its notice may have gone.")
    site.output.line("Copies of what was flagged since the backup are in the staff mailbox.")
