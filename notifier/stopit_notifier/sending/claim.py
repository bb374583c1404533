"""The id of a claim on a message: the run of the program, the host and its last boot, and the ledger's replication
id."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stopit_core.errors import Transient

__all__ = ["HOLD", "UNKNOWN", "ClaimId", "StableReplicationId", "same_replication_id"]

UNKNOWN = "?"
HOLD = 60.0
"""Seconds. Longer than a master that is cut off accepts writes (min-replicas-max-lag, 10 s by default)."""
_EVERY = 15.0
_SHORT = 8
_HOST = 37
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class ClaimId:
    """The part of a claim that does not change while the process runs. `run` is new at each start."""

    host: str
    boot: str
    run: str

    @classmethod
    def here(cls) -> ClaimId:
        """Make the claim id of this process."""
        return cls(socket.gethostname(), _BOOT_ID.read_text("ascii").strip(), secrets.token_hex(4))

    def text(self, replication_id: str) -> str:
        """Return the text for `MessageRow.claimed_by`, at most 64 characters. The replication id is the ledger's."""
        return f"{self.run}/{self._machine}/{replication_id[:_SHORT]}"

    def lost_power_since(self, claimed_by: str) -> bool:
        """Return True if this unfinished claim was made on this host before its last boot.

        Then the milter went down with the notifier, and the traces of the last moment may be lost.
        """
        match claimed_by.split("/"):
            case [_, boot, host, *_]:
                return host[:_HOST] == self.host[:_HOST] and boot != self.boot[:_SHORT]
        return False

    @property
    def _machine(self) -> str:
        return f"{self.boot[:_SHORT]}/{self.host[:_HOST]}"


def same_replication_id(claimed_by: str, replication_id: str) -> bool:
    """Return True if this claim was made under this replication id of the ledger. UNKNOWN equals no other."""
    match claimed_by.split("/"):
        case [_, _, _, claimed]:
            return claimed == replication_id[:_SHORT]
    return not replication_id  # a claim from before claims had it, or of `stopitctl restore`


class StableReplicationId:
    """The ledger's replication id, once it has been the same for a minute; UNKNOWN until then, or without an answer.

    In the minute after a failover a milter may still write to the server that was replaced, and the trace of a
    message of ours may be lost under the new id. `ask` returns the current id ("" where there is only one server), or
    raises Transient.
    """

    def __init__(self, ask: Callable[[], str], monotonic: Callable[[], float]) -> None:
        self._ask = ask
        self._monotonic = monotonic
        self._found = UNKNOWN
        self._since = self._next = monotonic()

    def current(self) -> str:
        """Return the id, which may be 15 seconds old."""
        now = self._monotonic()
        if now >= self._next:
            self._next = now + _EVERY
            found = self._asked()
            if found != self._found:
                self._found, self._since = found, now
        return self._found if not self._found or now - self._since >= HOLD else UNKNOWN

    def _asked(self) -> str:
        try:
            return self._ask()
        except Transient:
            return UNKNOWN
