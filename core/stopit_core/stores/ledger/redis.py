"""The ledger in Redis: hashes by day and shard, so that a day expires whole and no record carries its own expiry.

`stopit:trace:DAY:SHARD` holds, under a message's digest, its first pass of that day. A further pass gets the digest
and a number, which HINCRBY on a counter of that message hands out: several milters can write passes of one message at
the same time and none takes another's place, with nothing read and written back. Nearly all messages pass once, so
nearly all of a batch is one script: one command to make and one answer to read, where a pipeline has a thousand.

A hash of few traces costs more than they do; one of more than 512 (`hash-max-listpack-entries`) is not kept packed.
With these shards one holds 9 traces where a site has a million in its two weeks, and 261 where it has 30 million.
A server must also let values of this length be packed (`hash-max-listpack-value 256`), or a trace takes half as much
again: `./run bench --only ledger` prints both.

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
"""Seconds over which the shards of a day end one after another, so that no second frees them all."""
_COUNTER = b"\xff"
"""What follows the digest in the name of the counter of further passes; a pass's number never gets there."""


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
"""For each key: a field, its payload, and when the key ends. Answers with the places (from 1) that were taken."""


class _Record(NamedTuple):
    """One trace as it is to be stored."""

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
        """See `Ledger.write`."""
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
        """See `Ledger.find`. One round trip that looks at each day of the retention."""
        now = self._clock()
        fields = _pass_fields(message)
        with transient(self._client), self._client.pipeline(transaction=False) as commands:
            for day in range(_day(now - self._retention), _day(now) + 2):
                commands.hmget(_key(day, message), fields)
            payloads = [payload for values in commands.execute() for payload in values if payload is not None]
        passes = (trace for trace in readable(message, payloads) if trace.seen > now - self._retention)
        return sorted(passes, key=lambda trace: trace.seen)[:MAX_PASSES]

    def watch(self, pair: Digest, until: float) -> None:
        """See `Ledger.watch`."""
        with transient(self._client):
            self._client.zadd(_WATCH, {pair: until}, gt=True)

    def watched(self, now: float) -> frozenset[Digest]:
        """See `Ledger.watched`."""
        with transient(self._client):
            pairs: Any = self._client.zrangebyscore(_WATCH, f"({now!r}", "+inf")
        return frozenset(map(Digest, pairs))

    def expire(self, now: float) -> int:
        """See `Ledger.expire`. The server lets traces go by itself; only ended watches are removed here."""
        with transient(self._client):
            self._client.zremrangebyscore(_WATCH, "-inf", repr(now - GRACE))
        return 0

    def replication_id(self) -> str:
        """See `Ledger.history`."""
        with transient(self._client):
            return replication_id(self._client)

    def ping(self) -> None:
        """See `Ledger.ping`. Changing the score of a member that is not there is a write that changes nothing."""
        with transient(self._client):
            self._client.zadd(_WATCH, {b"": 0}, xx=True)

    def close(self) -> None:
        """See `Ledger.close`."""
        self._client.close()

    def _write_further(self, commands: Any, records: Sequence[_Record]) -> None:
        """Give records whose first place is taken a place of their own, but for those already there."""
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
