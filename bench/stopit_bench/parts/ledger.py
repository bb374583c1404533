"""What a trace takes in the ledger, and how long it takes to find one among very many.

A ledger in Redis has one hash for each day and shard, and what a trace takes depends on how full those are. So the
sizes are of two weeks of a site: 1 million traces are 71,000 messages a day, 30 million are 2.1 million. A ledger
that is not filled whole is calculated from one of its fourteen days.
"""

from __future__ import annotations

import os
import random
import time
from contextlib import ExitStack
from pathlib import Path

import redis

from stopit_bench.bench import Bench, Found
from stopit_bench.effort import Effort
from stopit_bench.filling import DAYS, fill
from stopit_bench.record import Figure, Series, Unit, at_most, figure, once
from stopit_bench.reports import trace_of
from stopit_core.keys import KEY_BYTES, Keyring
from stopit_core.ledger import Ledger
from stopit_core.ledger.redis import RedisLedger
from stopit_core.ledger.sqlite import SqliteLedger
from stopit_core.redis_client import connect
from stopit_core.wire import encode_trace
from stopit_lab.redis import Redis

__all__ = ["measure_find", "measure_ledger"]

_RETENTION = DAYS * 86_400.0
_ASKED = (1_000_000, 10_000_000, 30_000_000)
_PACKED, _DEFAULT = 256, 64
_BYTES = at_most(150)
_FIND = at_most(5)
_FINDABLE = 10_000_000
_COLD = 200


def measure_ledger(bench: Bench) -> Found:
    """Bytes a message in Redis, and on the disk in SQLite."""
    figures = [_sqlite_bytes(bench, traces) for traces in bench.sizes.ledger if traces <= _FINDABLE]
    for traces in _ASKED[:1] if bench.effort is Effort.QUICK else _ASKED:
        for packed in (_PACKED, _DEFAULT):
            # How little is gained without the setting shows in one day as well.
            whole = traces in bench.sizes.ledger and packed == _PACKED
            how = "measured" if whole else "calculated from one day"
            bench.say(f"{traces:,} traces, hash-max-listpack-value {packed}, {how}")
            value = _redis_bytes(bench, traces if whole else traces // DAYS, DAYS if whole else 1, packed)
            name = f"{traces / 1e6:g} million traces in Redis, hash-max-listpack-value {packed}, {how}"
            figures.append(once(name, Unit.BYTES, value, _BYTES if packed == _PACKED else None))
    payload = len(encode_trace(trace_of(Keyring(bytes(KEY_BYTES)), 123_456, time.time())))
    note = (
        "Redis: memory of the server (used_memory) above that of an empty one, for each trace. SQLite: the file. "
        f"The encoded trace has {payload} bytes, its key 16."
    )
    return Found(tuple(figures), notes=(note,))


def measure_find(bench: Bench) -> Found:
    """Milliseconds to find the original of a flag."""
    figures: list[Figure] = []
    for traces in bench.sizes.ledger:
        if traces > _FINDABLE:
            continue
        for name, times in (*_redis_finds(bench, traces), *_sqlite_finds(bench, traces)):
            label = f"{name}, {traces:,} traces"
            ordered = sorted(times)
            figures.append(figure(f"find, {label}", Series(label, Unit.MILLISECONDS, tuple(times)), _FIND))
            figures.append(once(f"find, {label}, p99", Unit.MILLISECONDS, ordered[len(ordered) * 99 // 100]))
    return Found(
        tuple(figures),
        notes=("Random originals. Cold: the file is out of the page cache before the first one is sought.",),
    )


def _redis_bytes(bench: Bench, traces: int, days: int, packed: int) -> float:
    with ExitStack() as stack:
        server, ledger = _redis(bench, stack, packed)
        empty = _used(server)
        fill(ledger, Keyring(bytes(KEY_BYTES)), traces, time.time(), days=days, say=bench.say)
        return (_used(server) - empty) / traces


def _sqlite_bytes(bench: Bench, traces: int) -> Figure:
    bench.say(f"{traces:,} traces in SQLite")
    place = bench.place("ledger-size")
    place.mkdir()
    path = place / "ledger.db"
    ledger = SqliteLedger(path, _RETENTION)
    fill(ledger, Keyring(bytes(KEY_BYTES)), traces, time.time(), say=bench.say)
    ledger.close()
    size = path.stat().st_size
    for file in place.iterdir():
        file.unlink()
    return once(f"{traces:,} traces in SQLite", Unit.BYTES, size / traces)


def _redis_finds(bench: Bench, traces: int) -> list[tuple[str, list[float]]]:
    with ExitStack() as stack:
        _server, ledger = _redis(bench, stack, _PACKED)
        bench.say(f"finding among {traces:,} traces in Redis")
        fill(ledger, Keyring(bytes(KEY_BYTES)), traces, time.time(), say=bench.say)
        return [("Redis", _times(ledger, traces, bench.sizes.finds))]


def _sqlite_finds(bench: Bench, traces: int) -> list[tuple[str, list[float]]]:
    bench.say(f"finding among {traces:,} traces in SQLite")
    place = bench.place("ledger")
    place.mkdir()
    path = place / "ledger.db"
    ledger = SqliteLedger(path, _RETENTION)
    try:
        fill(ledger, Keyring(bytes(KEY_BYTES)), traces, time.time(), say=bench.say)
        warm = _times(ledger, traces, bench.sizes.finds)
    finally:
        ledger.close()
    _out_of_cache(path)
    ledger = SqliteLedger(path, _RETENTION)
    try:
        return [("SQLite", warm), ("SQLite, cold", _times(ledger, traces, min(_COLD, bench.sizes.finds)))]
    finally:
        ledger.close()
        for file in place.iterdir():
            file.unlink()


def _redis(bench: Bench, stack: ExitStack, packed: int) -> tuple[redis.Redis, RedisLedger]:
    place = bench.place("redis")
    place.mkdir()
    process = stack.enter_context(Redis(place))
    server = stack.enter_context(redis.Redis.from_url(process.url))
    server.config_set("appendonly", "no")  # it changes nothing in what the data take in memory
    server.config_set("hash-max-listpack-value", packed)
    return server, RedisLedger(connect(process.url), _RETENTION)


def _used(server: redis.Redis) -> int:
    return int(server.info("memory")["used_memory"])


def _times(ledger: Ledger, traces: int, finds: int) -> list[float]:
    """Milliseconds of each find. Raises RuntimeError when one does not find its trace."""
    keyring = Keyring(bytes(KEY_BYTES))
    times = []
    for number in random.Random(1).sample(range(traces), finds):
        message = trace_of(keyring, number, 0.0).message
        begin = time.perf_counter()
        found = ledger.find(message)
        times.append((time.perf_counter() - begin) * 1000)
        if len(found) != 1:
            raise RuntimeError(f"trace {number} of {traces} was found {len(found)} times")
    return times


def _out_of_cache(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
