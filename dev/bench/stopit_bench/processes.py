"""CPU, memory, file descriptors and threads of a process and its children, from /proc (proc(5))."""

from __future__ import annotations

import os
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Usage", "cpu_seconds", "tree", "usage"]


@dataclass(frozen=True, slots=True)
class Usage:
    """The resources of one process. `resident` in bytes."""

    resident: int
    descriptors: int
    threads: int


def tree(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):
                children[int(_stat(int(entry.name))[1])].append(int(entry.name))
    found = [pid]
    for each in found:
        found += children[each]
    return found


def cpu_seconds(pid: int) -> float:
    """Return the user and system time of a process and its living descendants, in steps of 10 ms."""
    total = 0
    for each in tree(pid):
        with suppress(OSError):
            fields = _stat(each)
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def usage(pid: int) -> Usage:
    """Return the resources of one process. Raises OSError if it has ended."""
    fields = _stat(pid)
    descriptors = sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    return Usage(int(fields[21]) * os.sysconf("SC_PAGE_SIZE"), descriptors, int(fields[17]))


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name, which may contain spaces."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
