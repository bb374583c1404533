"""The queue in Redis: a Stream with one consumer group, for several mail hosts.

`stopit:queue` holds the reports that are not yet acknowledged, `stopit:queue:dead` (a hash by entry id) the dead
letters. Nothing is ever trimmed: MAXLEN would drop unread reports. An entry is removed by XACK and XDEL in one step,
so the stream holds exactly the work that is left, and a lost group (FLUSHALL, a restored backup) is created again
from the start of the stream without losing reports.

An entry is removed only if it is the report that was claimed. Entry ids are times: during a failover both masters may
give one id to different reports, and a consumer may claim from one and acknowledge to the other.

If one consumer acknowledges an entry while another buries it, a dead letter of a finished report can remain; a retry
of it is harmless, because the case record takes each report once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import msgspec
import redis

from stopit_core.stores.queue import DeadLetter, Delivery, Depths, exhausted
from stopit_core.stores.redis_client import BLOCK, transient
from stopit_core.stores.sentinel import replication_id, replication_id_in, sentinel_pool_of

__all__ = ["RedisQueue"]

_STREAM = "stopit:queue"
_DEAD = "stopit:queue:dead"
_GROUP = "notifier"
_PAGE = 100
"""Number of passed leases that are read in one step."""

_ANY = b"*"
"""Matches any report in place of a report's id."""
_LEAVE = """
for i = 2, #ARGV, 2 do
  local entry = redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i])[1]
  local report = ''
  for at = 1, entry and #entry[2] or 0, 2 do
    if entry[2][at] == 'id' then report = entry[2][at + 1] end
  end
  if not entry or ARGV[i + 1] == '*' or ARGV[i + 1] == report then
    redis.call('XACK', KEYS[1], ARGV[1], ARGV[i])
    redis.call('XDEL', KEYS[1], ARGV[i])
  end
end
"""
"""Arguments: the group, then for each entry its id and the id of the report that it must contain."""

_T = TypeVar("_T")


class _Entry(msgspec.Struct, frozen=True):
    """One entry of the stream: its id there, and the fields that were put."""

    id: str
    report_id: bytes
    payload: bytes
    put_at: float


class _Dead(msgspec.Struct, frozen=True, array_like=True):
    """A dead letter as it is stored in the hash."""

    report_id: bytes
    payload: bytes
    attempts: int
    put_at: float
    buried_at: float
    error: str


class RedisQueue:
    """A `Queue` on a Redis server. `client` is for short commands, `reader` for blocking reads (`redis_client`)."""

    def __init__(
        self, client: redis.Redis, reader: redis.Redis, max_attempts: int, clock: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._reader = reader
        self._max_attempts = max_attempts
        self._clock = clock
        self._leave = client.register_script(_LEAVE)
        self._claimed: dict[str, bytes] = {}

    def put(self, report_id: str, payload: bytes) -> str:
        """Implement `Queue.put`. Durable as far as the server is: `redis_client.durability_faults`.

        The replication id is read before the report is added. A server that stops being master in between refuses the
        report.
        """
        entry: Any = {"id": report_id, "report": payload, "at": repr(self._clock())}
        with transient(self._client):
            if not sentinel_pool_of(self._client):
                self._client.xadd(_STREAM, entry)
                return ""
            with self._client.pipeline(transaction=False) as commands:
                commands.info("replication")
                commands.xadd(_STREAM, entry)
                replication, _id = _run(commands)
            return replication_id_in(replication)

    def replication_id(self) -> str:
        """Implement `Queue.replication_id`."""
        with transient(self._client):
            return replication_id(self._client)

    def claim(
        self, consumer: str, limit: int, lease: float, wait: float = 0.0, again: int | None = None
    ) -> list[Delivery]:
        """Implement `Queue.claim`. While it waits, it looks for passed leases every `BLOCK` seconds."""
        deadline = time.monotonic() + wait
        most = limit if again is None else min(again, limit)
        with transient(self._reader):
            while True:
                deliveries = self._with_group(partial(self._claim_passed, consumer, most, lease))
                block = 0.0 if deliveries else max(0.0, min(BLOCK, deadline - time.monotonic()))
                room = limit - len(deliveries)
                if room > 0:
                    deliveries += self._with_group(partial(self._claim_fresh, consumer, room, block))
                if deliveries or time.monotonic() >= deadline:
                    return deliveries

    def ack(self, delivery_id: str) -> None:
        """Implement `Queue.ack`."""
        self.ack_all([delivery_id])

    def ack_all(self, delivery_ids: Sequence[str]) -> None:
        """Implement `Queue.ack_all`."""
        ids = list(filter(_is_id, delivery_ids))
        if not ids:
            return
        claimed = [(entry_id, self._claimed.get(entry_id, _ANY)) for entry_id in ids]
        with transient(self._client):
            self._leave([_STREAM], [_GROUP, *(part for pair in claimed for part in pair)])
        for entry_id in ids:
            self._claimed.pop(entry_id, None)

    def bury(self, delivery_id: str, error: str) -> None:
        """Implement `Queue.bury`."""
        if not _is_id(delivery_id):
            return
        with transient(self._client):
            found = _entries(self._client.xrange(_STREAM, delivery_id, delivery_id))
            for entry, attempts in zip(found, self._attempts(found), strict=True):
                self._bury(entry, attempts, error)

    def waiting(self, limit: int) -> list[Delivery]:
        """Implement `Queue.waiting`."""
        with transient(self._client):
            entries = _entries(self._client.xrange(_STREAM, count=limit))
            return _deliveries(entries, self._attempts(entries))

    def dead(self, limit: int) -> list[DeadLetter]:
        """Implement `Queue.dead`."""
        with transient(self._client):
            ids = sorted(map(_text, self._client.hkeys(_DEAD)), key=_order)[:limit]
            values = self._client.hmget(_DEAD, ids) if ids else []
        return [
            DeadLetter(dead_id, dead.payload, dead.attempts, dead.put_at, dead.buried_at, dead.error)
            for dead_id, dead in zip(ids, map(_read_dead, values), strict=True)
            if dead is not None
        ]

    def retry(self, dead_id: str) -> bool:
        """Implement `Queue.retry`. The report goes to the end of the stream, with the time when it was first put."""
        with transient(self._client):
            dead = _read_dead(self._client.hget(_DEAD, dead_id))
            if dead is None:
                return False
            with self._client.pipeline(transaction=True) as commands:
                commands.xadd(_STREAM, {"id": dead.report_id, "report": dead.payload, "at": repr(dead.put_at)})
                commands.hdel(_DEAD, dead_id)
                _run(commands)
            return True

    def drop(self, dead_id: str) -> bool:
        """Implement `Queue.drop`."""
        with transient(self._client):
            return self._client.hdel(_DEAD, dead_id) == 1

    def depths(self) -> Depths:
        """Implement `Queue.depths`. The oldest report is the first in the stream."""
        with transient(self._client), self._client.pipeline(transaction=False) as commands:
            commands.xlen(_STREAM)
            commands.xpending(_STREAM, _GROUP)
            commands.hlen(_DEAD)
            commands.xrange(_STREAM, count=1)
            length, pending, dead, first = _run(commands, missing_group={"pending": 0})
        claimed = int(pending["pending"])
        age = max((self._clock() - entry.put_at for entry in _entries(first)), default=0.0)
        return Depths(max(0, length - claimed), claimed, dead, max(0.0, age))

    def ping(self) -> None:
        """Implement `Queue.ping`. Creating the group is a write that changes nothing if the group exists."""
        with transient(self._client):
            self._make_group(self._client)

    def close(self) -> None:
        """Implement `Queue.close`."""
        self._client.close()
        self._reader.close()

    def _claim_passed(self, consumer: str, limit: int, lease: float) -> list[Delivery]:
        """Claim reports whose lease passed; bury those that were claimed too often."""
        claimed: list[Delivery] = []
        start: Any = "0-0"
        while len(claimed) < limit:
            # The third element names entries deleted meanwhile; XAUTOCLAIM has taken them off the pending list.
            start, found, _deleted = self._reader.xautoclaim(
                _STREAM, _GROUP, consumer, int(lease * 1000), start, count=min(_PAGE, limit - len(claimed))
            )
            entries = _entries(found)
            for delivery, entry in zip(_deliveries(entries, self._attempts(entries)), entries, strict=True):
                if delivery.attempts > self._max_attempts:
                    self._bury(entry, self._max_attempts, exhausted(self._max_attempts))
                else:
                    self._claimed[entry.id] = entry.report_id
                    claimed.append(delivery)
            if _text(start) == "0-0":
                break
        return claimed

    def _claim_fresh(self, consumer: str, limit: int, block: float) -> list[Delivery]:
        # BLOCK 0 means for ever, so without a wait BLOCK is left out.
        milliseconds = int(block * 1000) or None
        reply: Any = self._reader.xreadgroup(_GROUP, consumer, {_STREAM: ">"}, count=limit, block=milliseconds)
        entries = [entry for _stream, found in reply or () for entry in _entries(found)]
        self._claimed.update((entry.id, entry.report_id) for entry in entries)
        return _deliveries(entries, [1] * len(entries))

    def _attempts(self, entries: Iterable[_Entry]) -> list[int]:
        """Return how often each of these was delivered; 0 if it is not claimed."""
        with self._client.pipeline(transaction=False) as commands:
            for entry in entries:
                commands.xpending_range(_STREAM, _GROUP, entry.id, entry.id, 1)
            return [pending[0]["times_delivered"] if pending else 0 for pending in _run(commands, missing_group=[])]

    def _bury(self, entry: _Entry, attempts: int, error: str) -> None:
        dead = _Dead(entry.report_id, entry.payload, attempts, entry.put_at, self._clock(), error)
        with self._client.pipeline(transaction=True) as commands:
            commands.hset(_DEAD, entry.id, msgspec.msgpack.encode(dead))
            commands.xack(_STREAM, _GROUP, entry.id)
            commands.xdel(_STREAM, entry.id)
            _run(commands)
        self._claimed.pop(entry.id, None)

    def _with_group(self, read: Callable[[], _T]) -> _T:
        """Run a read of the group; if the group is missing, create it and run the read again."""
        try:
            return read()
        except redis.ResponseError as error:
            if not _group_is_missing(error):
                raise
        self._make_group(self._reader)
        return read()

    @staticmethod
    def _make_group(client: redis.Redis) -> None:
        try:
            client.xgroup_create(_STREAM, _GROUP, id="0", mkstream=True)
        except redis.ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise


def _run(commands: Any, missing_group: Any = None) -> list[Any]:
    """Return the replies of a pipeline; raise an error reply, but replace a missing group by the value given for
    it."""
    replies = commands.execute(raise_on_error=False)
    for at, reply in enumerate(replies):
        if isinstance(reply, Exception):
            if missing_group is None or not _group_is_missing(reply):
                raise reply
            replies[at] = missing_group
    return list(replies)


def _group_is_missing(error: Exception) -> bool:
    """Return whether the error is NOGROUP, or UNBLOCKED: the stream was deleted while a reader waited."""
    return str(error).startswith(("NOGROUP", "UNBLOCKED"))


def _entries(found: Any) -> list[_Entry]:
    """Return the entries of a reply. An entry without our fields has an empty payload, which does not decode."""
    return [_entry(_text(entry_id), fields) for entry_id, fields in found or () if fields is not None]


def _entry(entry_id: str, fields: Mapping[bytes, bytes]) -> _Entry:
    try:
        put_at = float(fields[b"at"])
    except (KeyError, ValueError):
        put_at = _order(entry_id)[0] / 1000
    return _Entry(entry_id, fields.get(b"id", b""), fields.get(b"report", b""), put_at)


def _deliveries(entries: Iterable[_Entry], attempts: Iterable[int]) -> list[Delivery]:
    pairs = zip(entries, attempts, strict=True)
    return [Delivery(entry.id, entry.payload, tried, entry.put_at) for entry, tried in pairs]


def _read_dead(value: Any) -> _Dead | None:
    try:
        return msgspec.msgpack.decode(value, type=_Dead) if value is not None else None
    except msgspec.MsgspecError:
        return None


def _is_id(text: str) -> bool:
    return _order(text) != (0, 0)


def _order(entry_id: str) -> tuple[int, int]:
    """Return a stream id as sortable (milliseconds, number); (0, 0) if it is not a stream id."""
    milliseconds, _, number = entry_id.partition("-")
    return (int(milliseconds), int(number)) if _digits(milliseconds) and _digits(number) else (0, 0)


def _digits(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 20


def _text(value: Any) -> str:
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)
