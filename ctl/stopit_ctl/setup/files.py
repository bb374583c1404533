"""Replaces the files of another program atomically, and keeps copies of the old ones.

The new text is written to a temporary file with the mode and the owner of the old file, which is then renamed to it.
For a symbolic link, its target is replaced.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

__all__ = ["copies_of", "keep", "read", "replace"]

_KEPT = ".before-stopit"


def read(path: Path) -> str:
    """Return the text of a file; bytes that are not UTF-8 survive a `replace`. Raises OSError."""
    return path.read_bytes().decode("utf-8", "surrogateescape")


def replace(path: Path, text: str) -> None:
    """Replace the text of an existing file. Raises OSError."""
    target = path.resolve(strict=True)
    new = target.with_name(f".{target.name}.stopit-new")
    new.unlink(missing_ok=True)
    try:
        _write_like(target, new, text)
        os.utime(new)
        new.rename(target)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    _sync(target.parent)


def keep(path: Path) -> Path:
    """Copy a file in its directory under an unused name, and return the path of the copy. Raises OSError."""
    target = path.resolve(strict=True)
    kept = path.with_name(f"{path.name}{_KEPT}")
    number = 0
    while kept.exists():
        number += 1
        kept = path.with_name(f"{path.name}{_KEPT}.{number}")
    _write_like(target, kept, read(target))
    _sync(kept.parent)
    return kept


def copies_of(path: Path, text: str) -> list[Path]:
    """Return the copies of this file that `keep` made and that contain exactly this text."""
    return [copy for copy in sorted(path.parent.glob(f"{path.name}{_KEPT}*")) if read(copy) == text]


def _write_like(model: Path, new: Path, text: str) -> None:
    """Write a new file with the owner, mode, times and attributes of `model`; it is private until it has them."""
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(text.encode("utf-8", "surrogateescape"))
        owner = model.stat()
        os.fchown(file.fileno(), owner.st_uid, owner.st_gid)
        shutil.copystat(model, new)
        file.flush()
        os.fsync(file.fileno())


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
