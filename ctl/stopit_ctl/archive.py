"""A backup as a directory: its files, and a manifest that is written last and has the checksum of each file.

    manifest.json      format, time, version, and a checksum of every other file
    etc/...            configuration, key and templates of the site
    reports/ID         reports that waited in spool or queue, in the format of `wire`
    cases.jsonl        the case record (`cases.copying`)
    ledger.db          the ledger, where it is a SQLite file

A directory without a manifest is an incomplete backup. Only the owner can read a backup (0700, 0600): with the key,
every case in it can be read.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
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


class SavedFile(msgspec.Struct, frozen=True):
    """A file of the configuration: its name in the backup, and its path, owner, group and mode on the site."""

    name: str
    path: str
    owner: str
    group: str
    mode: int


class Manifest(msgspec.Struct, frozen=True):
    """The contents of a backup. `made_at`: seconds since the epoch; `checksums`: SHA-256 by name."""

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
        """Create an empty backup. Raises Permanent when the directory exists, or cannot be created."""
        try:
            directory.mkdir(mode=0o700)
        except FileExistsError:
            raise Permanent(f"{directory} exists already; name a new directory, for example with the date") from None
        except OSError as error:
            raise Permanent(f"{directory} cannot be created: {error.strerror}") from error
        return cls(directory)

    @contextmanager
    def writing(self, name: str) -> Iterator[BinaryIO]:
        """Create a file, and sync it to disk when the block ends. Raises Permanent when that fails."""
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
        """Return the sorted names of its files, without the manifest."""
        found = (path.relative_to(self.directory).as_posix() for path in self.directory.rglob("*") if path.is_file())
        return sorted(name for name in found if name != _MANIFEST)

    def finish(self, made_at: float, configuration: tuple[SavedFile, ...]) -> None:
        """Write the manifest, which makes the backup complete."""
        checksums = {name: self._checksum(name) for name in self.names()}
        manifest = Manifest(_FORMAT, __version__, made_at, checksums, configuration)
        with self.writing(_MANIFEST) as file:
            file.write(msgspec.json.format(msgspec.json.encode(manifest), indent=1) + b"\n")

    def verified_manifest(self) -> Manifest:
        """Compare every file with the manifest, and return it. Raises Permanent with the first fault."""
        path = self.directory / _MANIFEST
        try:
            manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
            names = self.names()
        except FileNotFoundError:
            raise Permanent(f"{self.directory} is not a complete backup: it has no {_MANIFEST}") from None
        except (OSError, msgspec.MsgspecError) as error:
            raise Permanent(f"{path}: cannot be read: {error}") from error
        if manifest.format != _FORMAT:
            raise Permanent(f"{path}: has format {manifest.format}; this version of Stopit reads {_FORMAT}")
        if missing := sorted(manifest.checksums.keys() - set(names)):
            raise Permanent(f"{self.directory}: {missing[0]} is missing, although it was in the backup")
        for name, checksum in manifest.checksums.items():
            if self._checksum(name) != checksum:
                raise Permanent(f"{self.directory / name}: was changed after the backup was made; use another backup")
        return manifest

    def reading(self, name: str) -> BufferedReader:
        """Open a file of the backup."""
        return (self.directory / name).open("rb")

    def reports(self) -> Iterator[bytes]:
        """Read its reports."""
        for name in self.names():
            if name.startswith("reports/"):
                yield (self.directory / name).read_bytes()

    def _checksum(self, name: str) -> str:
        with self.reading(name) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
