"""The ledger in Redis: hashes by day and shard, so that a whole day expires at once and no record has its own expiry.

`stopit:trace:DAY:SHARD` holds, under a message's digest, its first pass of that day. A further pass is stored under
the digest and a number from HINCRBY on a counter of that message: several milters can write passes of one message at
the same time without overwriting each other, and nothing is read and written back. Nearly all messages pass once, so
nearly all of a batch is one script: one command and one reply, where a pipeline has a thousand.

A hash with few traces costs more than the traces themselves; a hash with more than 512 (`hash-max-listpack-entries`)
is not stored packed. With this number of shards a hash holds 9 traces at a site with a million traces in two weeks,
and 261 at a site with 30 million. The server must also allow values of this length in packed hashes
(`hash-max-listpack-value 256`), or a trace takes half as much again: `./run bench --only ledger` prints both.

`stopit:watch` is a sorted set of pairs by the end of their watch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import redis

from stopit_core.model import Digest, Trace
from stopit_core.stores.ledger import GRACE, MAX_PASSES, readable
from stopit_core.stores.redis_client import transient
from stopit_core.stores.sentinel import replication_id
from stopit_core.wire import encode_trace

__all__ = ["RedisLedger"]

_WATCH = "stopit:watch"
_DAY = 86400
_SHARDS = 8192
_STAGGER = 3600
"""Seconds over which the shards of a day expire one after another, so that the server does not free them all at
once."""
_COUNTER = b"\xff"
"""The suffix of the digest in the field of the counter of further passes; the number of a pass never reaches it."""


_WRITE_FIRST = """
local taken = {}
for i, key in ipairs(KEYS) do
  if redis.call('HSETNX', key, ARGV[3 * i - 2], ARGV[3 * i - 1]) == 0 then
    taken[#taken + 1] = i
  end
  redis.call('EXPIREAT', key, ARGV[3 * i])
end
return taken
"""
"""Arguments for each key: a field, its payload, and when the key expires. Returns the indexes (from 1) of fields in
use."""


class _Record(NamedTuple):
    """One trace in its stored form."""

    key: str
    field: bytes
    payload: bytes


class RedisLedger:
    """A `Ledger` on a Redis server. `retention` in seconds; `clock` since the epoch."""

    def __init__(self, client: redis.Redis, retention: float, clock: Callable[[], float] = time.time) -> None:
        self._client = client
        self._write_first = client.register_script(_WRITE_FIRST)
        self._retention = retention
        self._clock = clock

    def write(self, traces: Sequence[Trace]) -> None:
        """Implement `Ledger.write`."""
        records = [_Record(_key(_day(t.seen), t.message), t.message, encode_trace(t)) for t in traces]
        keys = [record.key for record in records]
        rest = [
            each
            for trace, record in zip(traces, records, strict=True)
            for each in (record.field, record.payload, self._end(trace))
        ]
        with transient(self._client):
            taken: Any = self._write_first(keys, rest)
            if taken:
                with self._client.pipeline(transaction=False) as commands:
                    self._write_further(commands, [records[place - 1] for place in taken])

    def find(self, message: Digest) -> list[Trace]:
        """Implement `Ledger.find`. One round trip that reads each day of the retention."""
        now = self._clock()
        fields = _pass_fields(message)
        with transient(self._client), self._client.pipeline(transaction=False) as commands:
            for day in range(_day(now - self._retention), _day(now) + 2):
                commands.hmget(_key(day, message), fields)
            payloads = [payload for values in commands.execute() for payload in values if payload is not None]
        passes = (trace for trace in readable(message, payloads) if trace.seen > now - self._retention)
        return sorted(passes, key=lambda trace: trace.seen)[:MAX_PASSES]

    def watch(self, pair: Digest, until: float) -> None:
        """Implement `Ledger.watch`."""
        with transient(self._client):
            self._client.zadd(_WATCH, {pair: until}, gt=True)

    def watched(self, now: float) -> frozenset[Digest]:
        """Implement `Ledger.watched`."""
        with transient(self._client):
            pairs: Any = self._client.zrangebyscore(_WATCH, f"({now!r}", "+inf")
        return frozenset(map(Digest, pairs))

    def expire(self, now: float) -> int:
        """Implement `Ledger.expire`. The server expires traces itself; only ended watches are removed here."""
        with transient(self._client):
            self._client.zremrangebyscore(_WATCH, "-inf", repr(now - GRACE))
        return 0

    def replication_id(self) -> str:
        """Implement `Ledger.replication_id`."""
        with transient(self._client):
            return replication_id(self._client)

    def ping(self) -> None:
        """Implement `Ledger.ping`. Changing the score of a missing member is a write that changes nothing."""
        with transient(self._client):
            self._client.zadd(_WATCH, {b"": 0}, xx=True)

    def close(self) -> None:
        """Implement `Ledger.close`."""
        self._client.close()

    def _write_further(self, commands: Any, records: Sequence[_Record]) -> None:
        """Store records whose first field is in use under another field, except those that are stored already."""
        for key, field, _payload in records:
            commands.hmget(key, _pass_fields(field))
        known: dict[tuple[str, bytes], set[bytes | None]] = {}
        for record, values in zip(records, commands.execute(), strict=True):
            known[record.key, record.field] = set(values)
        new = []
        for record in records:
            passes = known[record.key, record.field]
            if record.payload not in passes and len(passes - {None}) < MAX_PASSES:
                passes.add(record.payload)
                new.append(record)
        for record in new:
            commands.hincrby(record.key, record.field + _COUNTER, 1)
        places = commands.execute() if new else []
        for record, place in zip(new, places, strict=True):
            if place < MAX_PASSES:
                commands.hset(record.key, record.field + bytes((place,)), record.payload)
        commands.execute()

    def _end(self, trace: Trace) -> int:
        last = (_day(trace.seen) + 1) * _DAY + self._retention + GRACE
        return int(last) + _shard(trace.message) * _STAGGER // _SHARDS


def _day(seen: float) -> int:
    return int(seen // _DAY)


def _shard(message: bytes) -> int:
    return int.from_bytes(message[-4:], "big") % _SHARDS


def _key(day: int, message: bytes) -> str:
    return f"stopit:trace:{day}:{_shard(message)}"


def _pass_fields(message: bytes) -> list[bytes]:
    return [message, *(message + bytes((place,)) for place in range(1, MAX_PASSES))]
