"""A backup as a directory: its files, and a manifest that is written last and says what each must be.

    manifest.json      what this is, of when, by which version; a checksum of every other file
    etc/...            configuration, key, templates, as the site has them
    reports/ID         reports that waited in spool or queue, as they stood there (`wire`)
    cases.jsonl        the case record (`cases.copying`)
    ledger.db          the ledger, where it is a SQLite file

A directory without a manifest is a backup that was not finished. Everything is for the owner alone (0700, 0600): with
the key, whoever has a backup can read every case.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from stopit_core import __version__
from stopit_core.errors import Permanent

__all__ = ["CASES", "LEDGER", "Archive", "Manifest", "SavedFile"]

CASES = "cases.jsonl"
LEDGER = "ledger.db"
_MANIFEST = "manifest.json"
_FORMAT = 1
_CHUNK = 1024 * 1024


class SavedFile(msgspec.Struct, frozen=True):
    """One file of the configuration: where it was, whose it was, and its mode."""

    name: str
    path: str
    owner: str
    group: str
    mode: int


class Manifest(msgspec.Struct, frozen=True):
    """What a backup is. `made_at`: seconds since the epoch; `checksums`: SHA-256 by name."""

    format: int
    version: str
    made_at: float
    checksums: dict[str, str]
    configuration: tuple[SavedFile, ...]


class Archive:
    """The backup in `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def new(cls, directory: Path) -> Archive:
        """An empty one. Raises Permanent when the directory is there already, or cannot be made."""
        try:
            directory.mkdir(mode=0o700)
        except FileExistsError:
            raise Permanent(
                f"{directory} is there already; name a new directory, such as one with the date"
            ) from None
        except OSError as error:
            raise Permanent(f"{directory} cannot be made: {error.strerror}") from error
        return cls(directory)

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """A new file, on the disk when the block ends. Raises Permanent when that fails."""
        path = self.directory / name
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                yield file
                file.flush()
                os.fsync(descriptor)
        except OSError as error:
            raise Permanent(f"{path}: {error.strerror or error}") from error

    def names(self) -> list[str]:
        """Its files but for the manifest, by name."""
        found = (path.relative_to(self.directory).as_posix() for path in self.directory.rglob("*") if path.is_file())
        return sorted(name for name in found if name != _MANIFEST)

    def finish(self, made_at: float, configuration: tuple[SavedFile, ...]) -> None:
        """Write the manifest: it is whole from now on."""
        checksums = {name: self._checksum(name) for name in self.names()}
        manifest = Manifest(_FORMAT, __version__, made_at, checksums, configuration)
        with self.writing(_MANIFEST) as file:
            file.write(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")

    def verified_manifest(self) -> Manifest:
        """What it is, after every file was compared with it. Raises Permanent that says what is wrong."""
        path = self.directory / _MANIFEST
        try:
            manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
            names = self.names()
        except FileNotFoundError:
            raise Permanent(
                f"{self.directory} is no backup, or one that was not finished: there is no {_MANIFEST} in it"
            ) from None
        except (OSError, msgspec.MsgspecError) as error:
            raise Permanent(f"{path}: cannot be read: {error}") from error
        if manifest.format != _FORMAT:
            raise Permanent(f"{path}: has format {manifest.format}; this version of Stopit reads {_FORMAT}")
        if missing := sorted(manifest.checksums.keys() - set(names)):
            raise Permanent(f"{self.directory}: {missing[0]} is missing, although the backup had it")
        for name, checksum in manifest.checksums.items():
            if self._checksum(name) != checksum:
                raise Permanent(
                    f"{self.directory / name}: was changed since the backup was made; take another backup"
                )
        return manifest

    def reading(self, name: str) -> BinaryIO:
        """A file of it, open."""
        return (self.directory / name).open("rb")

    def reports(self) -> Iterator[bytes]:
        """The reports in it."""
        for name in self.names():
            if name.startswith("reports/"):
                yield (self.directory / name).read_bytes()

    def _checksum(self, name: str) -> str:
        digest = hashlib.sha256()
        with self.reading(name) as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
        return digest.hexdigest()
