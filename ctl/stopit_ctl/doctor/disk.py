"""Probes the free space of the file systems that hold reports, traces and cases."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

from stopit_core.config import Settings
from stopit_ctl.local_site import sqlite_file
from stopit_ctl.probe_results import ProbeResult

__all__ = ["probe_disk"]

_FREE_BYTES = 512 * 1024 * 1024
_FREE_FILES = 1000


def probe_disk(settings: Settings) -> Iterator[ProbeResult]:
    """Probe each file system once."""
    files = (sqlite_file(url) for url in (settings.ledger.url, settings.queue.url, settings.cases.url))
    seen = set()
    for directory in (settings.queue.spool_dir.parent, *(file.parent for file in files if file is not None)):
        try:
            device, usage, counts = directory.stat().st_dev, shutil.disk_usage(directory), os.statvfs(directory)
        except OSError:
            continue  # the probes of the stores report a directory that is missing
        if device in seen:
            continue
        seen.add(device)
        free = f"{usage.free // (1024 * 1024):,} MB free"
        if usage.free < _FREE_BYTES:
            yield ProbeResult.fault(
                f"disk: {free} at {directory}", "free some space: when the disk is full, the MTA defers mail"
            )
        elif counts.f_files and counts.f_favail < _FREE_FILES:
            yield ProbeResult.fault(f"disk: {counts.f_favail} files can be created at {directory}", "remove files")
        else:
            yield ProbeResult.ok(f"disk: {free} at {directory}")
