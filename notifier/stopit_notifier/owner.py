"""Who has a claim on a message: this run of this program, on this host since its last boot."""

from __future__ import annotations

import secrets
import socket
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Owner"]

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Owner:
    """An owner of claims. `run` is new at each start, so nobody takes a claim of an earlier run for its own."""

    host: str
    boot: str
    run: str

    @classmethod
    def here(cls) -> Owner:
        """This process."""
        return cls(socket.gethostname(), _BOOT_ID.read_text("ascii").strip(), secrets.token_hex(4))

    @property
    def name(self) -> str:
        """How it stands in `Message.claimed_by`: 64 characters at most."""
        return f"{self.run}/{self._machine}"

    def lost_power_since(self, claimed_by: str) -> bool:
        """Whether a claim that was never ended is of this host before its last boot.

        Then the milter went down with the notifier, and the traces of the last moment may have gone with it.
        """
        machine = claimed_by.partition("/")[2]
        same_host = machine.partition("/")[2] == self._machine.partition("/")[2]
        return same_host and machine != self._machine

    @property
    def _machine(self) -> str:
        return f"{self.boot[:8]}/{self.host[:46]}"
