"""Who has a claim on a message: this run of this program, on this host since its last boot, by this history of the
ledger."""

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
"""Seconds. Longer than a master that is cut off takes writes (min-replicas-max-lag, 10 s as it ships)."""
_EVERY = 15.0
_SHORT = 8
_HOST = 37
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class ClaimId:
    """An owner of claims. `run` is new at each start, so nobody takes a claim of an earlier run for its own."""

    host: str
    boot: str
    run: str

    @classmethod
    def here(cls) -> ClaimId:
        """This process."""
        return cls(socket.gethostname(), _BOOT_ID.read_text("ascii").strip(), secrets.token_hex(4))

    def text(self, replication_id: str) -> str:
        """What stands in `Message.claimed_by`: 64 characters at most. `history` is the ledger's
        (`StableReplicationId`)."""
        return f"{self.run}/{self._machine}/{replication_id[:_SHORT]}"

    def lost_power_since(self, claimed_by: str) -> bool:
        """Whether a claim that was never ended is of this host before its last boot.

        Then the milter went down with the notifier, and the traces of the last moment may have gone with it.
        """
        match claimed_by.split("/"):
            case [_, boot, host, *_]:
                return host[:_HOST] == self.host[:_HOST] and boot != self.boot[:_SHORT]
        return False

    @property
    def _machine(self) -> str:
        return f"{self.boot[:_SHORT]}/{self.host[:_HOST]}"


def same_replication_id(claimed_by: str, replication_id: str) -> bool:
    """Whether the ledger's history that a claim was made by is this one. One that is UNKNOWN is no other's."""
    match claimed_by.split("/"):
        case [_, _, _, claimed]:
            return claimed == replication_id[:_SHORT]
    return not replication_id  # a claim of before histories were written down, or of `stopitctl restore`


class StableReplicationId:
    """The ledger's history, once it has held for a minute; UNKNOWN until then, and when nobody can tell.

    For a minute after a failover a milter may still write to the server that lost it, and an own message's trace be
    thrown away under the new history. `ask` gives the one that holds ("": there is only one), or raises Transient.
    """

    def __init__(self, ask: Callable[[], str], monotonic: Callable[[], float]) -> None:
        self._ask = ask
        self._monotonic = monotonic
        self._found = UNKNOWN
        self._since = self._next = monotonic()

    def current(self) -> str:
        """The history, at most some seconds old: a failover meanwhile makes it another's."""
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
