"""The spool: a directory that keeps reports while the queue is down.

One file for each report, named by its id, so a client's retry makes no second file. A file is written under another
name, synced, renamed, and the directory synced: under its own name it is complete, and survives a power cut. `drain`
puts the files into the queue in order of arrival and removes each after the queue has accepted it; a crash between
the two delivers the report twice, and the case record takes it once. Files that are not reports are left alone.

`DurableReports` implements the order: the queue, else the spool, else the client keeps the message.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import Protocol

from stopit_core.errors import Transient
from stopit_core.model import Report
from stopit_core.wire import encode_report

__all__ = ["DurableReports", "ReportStore", "Spool", "StoredIn"]

_MODE = 0o660
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_SUFFIX = ".report"
_PARTIAL = ".partial"
_LOCK = ".drain"
_SUBSPOOL = "copies-"
_LEFT_BEHIND = 3600.0
"""Seconds after which a partial file is taken for the leftover of a crash."""


class ReportStore(Protocol):
    """Accepts reports durably: the queue, or the queue with failover copies."""

    def put(self, report_id: str, payload: bytes) -> object:
        """Store a report; durable on return. Raises Transient."""


class Spool:
    """Reports in `directory`, which is created if only its last level is missing. Several processes may use one
    spool.

    A spool may have subspools: spools in subdirectories, which its own methods ignore.
    """

    def __init__(self, directory: Path, within: Spool | None = None) -> None:
        self._directory = directory
        self._within = within

    def put(self, report_id: str, payload: bytes) -> None:
        """Keep a report; durable on return. Does nothing if the id is there already.

        Raises Transient if it cannot be kept (disk full, permissions), ValueError if the id is not a valid file name.
        """
        if not _ID.fullmatch(report_id):
            raise ValueError(f"not a report id: {report_id!r}")
        target = self._directory / f"{report_id}{_SUFFIX}"
        with self._faults():
            self._make()
            if not target.exists():
                self._write(target, payload)
            # Also if the file existed: the process that renamed it may not have synced the directory yet.
            _sync(self._directory)

    def drain(self, queue: ReportStore) -> int:
        """Move the reports to the queue, the oldest first. Return how many.

        Raises Transient if the queue or the directory fails; reports moved before stay moved. Does nothing while
        another process drains the spool.
        """
        moved = 0
        with self._faults():
            if not self._directory.is_dir():
                return 0
            with self._only_drainer() as alone:
                for path in self._oldest_first() if alone else ():
                    payload = _read(path)
                    if payload is None:
                        continue
                    queue.put(path.name.removesuffix(_SUFFIX), payload)
                    path.unlink(missing_ok=True)
                    _sync(self._directory)
                    moved += 1
                if alone:
                    self._sweep()
        return moved

    def waiting(self) -> list[bytes]:
        """Return the payloads of the reports, the oldest first. Raises Transient."""
        with self._faults():
            if not self._directory.is_dir():
                return []
            return [payload for path in self._oldest_first() if (payload := _read(path)) is not None]

    def depth(self) -> int:
        """Return the number of reports, including unreadable ones. Raises Transient."""
        with self._faults():
            return sum(1 for _ in self._files()) if self._directory.is_dir() else 0

    def ids(self) -> list[str]:
        """Return the ids of the reports. Raises Transient."""
        with self._faults():
            names = [entry.name for entry in self._files()] if self._directory.is_dir() else []
        return [name.removesuffix(_SUFFIX) for name in names]

    def forget(self, report_id: str) -> None:
        """Remove a report that is stored safely elsewhere. Raises Transient."""
        with self._faults():
            (self._directory / f"{report_id}{_SUFFIX}").unlink(missing_ok=True)

    def subspool(self, name: str) -> Spool:
        """Return a subspool; its directory is created by the first `put`."""
        return Spool(self._directory / f"{_SUBSPOOL}{name}", self)

    def subspools(self) -> list[str]:
        """Return the names of the existing subspools. Raises Transient."""
        with self._faults():
            return sorted(path.name.removeprefix(_SUBSPOOL) for path in self._directory.glob(f"{_SUBSPOOL}*"))

    def remove(self) -> None:
        """Remove the directory of an empty spool; do nothing if it is not empty."""
        with suppress(OSError):
            (self._directory / _LOCK).unlink(missing_ok=True)
            self._directory.rmdir()

    def ping(self) -> None:
        """Return if a file can be written and synced here; raises Transient."""
        with self._faults():
            probe = self._directory / f".{secrets.token_hex(8)}{_PARTIAL}"
            self._write_synced(probe, b"probe")
            probe.unlink()

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise Transient(f"spool {self._directory}: {error}") from error

    def _make(self) -> None:
        if not self._directory.is_dir():
            if self._within is not None:
                self._within._make()
            self._directory.mkdir(mode=0o770, exist_ok=True)
            _sync(self._directory.parent)

    def _write(self, target: Path, payload: bytes) -> None:
        partial = self._directory / f".{target.stem}.{secrets.token_hex(4)}{_PARTIAL}"
        try:
            self._write_synced(partial, payload)
            partial.rename(target)
        except BaseException:
            with suppress(OSError):
                partial.unlink()
            raise

    @staticmethod
    def _write_synced(path: Path, data: bytes) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)

    @contextmanager
    def _only_drainer(self) -> Iterator[bool]:
        descriptor = os.open(self._directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(descriptor)

    def _files(self) -> Iterator[os.DirEntry[str]]:
        with os.scandir(self._directory) as entries:
            for entry in entries:
                ours = entry.name.endswith(_SUFFIX) and _ID.fullmatch(entry.name.removesuffix(_SUFFIX))
                if ours and entry.is_file(follow_symlinks=False):
                    yield entry

    def _oldest_first(self) -> list[Path]:
        aged = []
        for entry in self._files():
            with suppress(FileNotFoundError):
                aged.append((entry.stat(follow_symlinks=False).st_mtime_ns, entry.name))
        return [self._directory / name for _, name in sorted(aged)]

    def _sweep(self) -> None:
        """Remove partial files of processes that died."""
        for partial in self._directory.glob(f".*{_PARTIAL}"):
            with suppress(FileNotFoundError):
                if partial.stat().st_mtime < time.time() - _LEFT_BEHIND:
                    partial.unlink()


class StoredIn(Enum):
    """The place where a report was made durable."""

    QUEUE = "queue"
    SPOOL = "spool"


class DurableReports:
    """Makes reports durable: in the queue, else in the spool."""

    def __init__(self, queue: ReportStore, spool: Spool) -> None:
        self._queue = queue
        self._spool = spool

    def put(self, report: Report) -> StoredIn:
        """Store the report, and return where. Raises Transient, with both reasons, if neither accepts it."""
        payload = encode_report(report)
        try:
            self._queue.put(report.id, payload)
        except Transient as away:
            try:
                self._spool.put(report.id, payload)
            except Transient as full:
                raise Transient(f"{away}; {full}") from full
            return StoredIn.SPOOL
        return StoredIn.QUEUE


def _read(path: Path) -> bytes | None:
    """Return the content of a report file; None if it cannot be read or was removed."""
    try:
        return path.read_bytes()
    except OSError:
        return None


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
