"""The size of a trace in the ledger, and the time to find one among very many.

A ledger in Redis has one hash per day and shard, and the size of a trace depends on how full the hashes are. So the
ledgers have the traces of two weeks: 1 million traces are 71,000 messages a day, 30 million are 2.1 million. The size
of a ledger that is not filled whole is calculated from one of its fourteen days.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import redis

from stopit_bench.bench import Bench, Found
from stopit_bench.filling import DAYS, fill
from stopit_bench.profile import Profile
from stopit_bench.record import Figure, Series, Target, Unit, at_most, figure, once
from stopit_bench.reports import trace_of
from stopit_core.identity.keys import KEY_BYTES, Keyring
from stopit_core.stores.ledger import Ledger
from stopit_core.stores.ledger.redis import RedisLedger
from stopit_core.stores.ledger.sqlite import SqliteLedger
from stopit_core.stores.redis_client import connect
from stopit_core.wire import encode_trace
from stopit_lab.redis import Redis

__all__ = ["measure_ledger"]

_RETENTION = DAYS * 86_400.0
_ASKED = (1_000_000, 10_000_000, 30_000_000)
_PACKED, _DEFAULT = 256, 64
_BYTES = at_most(150)
_FIND = at_most(5)
_IN_A_FILE = 10_000_000
"""A site with more traces has several hosts, and so no ledger in a file."""
_COLD = 200


@dataclass(frozen=True, slots=True)
class _Filled:
    """A filled ledger: bytes per trace, and the milliseconds of each find, by the name of the store."""

    bytes: float
    finds: Mapping[str, Sequence[float]]


def measure_ledger(bench: Bench) -> Found:
    """Measure the bytes per trace in Redis and in a file of SQLite, and the time to find a trace."""
    sizes: list[Figure] = []
    finds: list[Figure] = []
    for traces in _ASKED[:1] if bench.profile is Profile.QUICK else _ASKED:
        name = f"{traces / 1e6:g} million traces in Redis, hash-max-listpack-value"
        if traces in bench.sizes.ledger:
            filled = _redis_filled(bench, traces, DAYS, _PACKED)
            sizes.append(once(f"{name} {_PACKED}, measured", Unit.BYTES, filled.bytes, _BYTES))
            finds += _found(filled, traces)
        else:
            sizes.append(_of_one_day(bench, name, traces, _PACKED, _BYTES))
        # One day is enough to show what the setting saves.
        sizes.append(_of_one_day(bench, name, traces, _DEFAULT, None))
    for traces in bench.sizes.ledger:
        if traces <= _IN_A_FILE:
            filled = _sqlite_filled(bench, traces)
            sizes.append(once(f"{traces / 1e6:g} million traces in SQLite", Unit.BYTES, filled.bytes))
            finds += _found(filled, traces)
    payload = len(encode_trace(trace_of(Keyring(bytes(KEY_BYTES)), 123_456, time.time())))
    notes = (
        "Redis: used_memory of the server less that of an empty one, per trace. SQLite: the size of the file. "
        f"The encoded trace has {payload} bytes, its key 16.",
        "Random originals. Cold: the file is not in the page cache before the first find.",
    )
    return Found((*sizes, *finds), notes=notes)


def _of_one_day(bench: Bench, name: str, traces: int, packed: int, target: Target | None) -> Figure:
    size = _redis_filled(bench, traces // DAYS, 1, packed).bytes
    return once(f"{name} {packed}, calculated from one day", Unit.BYTES, size, target)


def _found(filled: _Filled, traces: int) -> Iterator[Figure]:
    for where, times in filled.finds.items():
        label = f"{where}, {traces:,} traces"
        ordered = sorted(times)
        yield figure(f"find, {label}", Series(label, Unit.MILLISECONDS, tuple(times)), _FIND)
        yield once(f"find, {label}, p99", Unit.MILLISECONDS, ordered[len(ordered) * 99 // 100])


def _redis_filled(bench: Bench, traces: int, days: int, packed: int) -> _Filled:
    bench.say(f"{traces:,} traces in Redis, hash-max-listpack-value {packed}")
    with ExitStack() as stack:
        server, ledger = _redis(bench, stack, packed)
        empty = _used(server)
        fill(ledger, Keyring(bytes(KEY_BYTES)), traces, time.time(), days=days, say=bench.say)
        size = (_used(server) - empty) / traces
        return _Filled(size, {"Redis": _times(ledger, traces, bench.sizes.finds)} if days == DAYS else {})


def _sqlite_filled(bench: Bench, traces: int) -> _Filled:
    bench.say(f"{traces:,} traces in SQLite")
    place = bench.place("ledger")
    place.mkdir()
    path = place / "ledger.db"
    with closing(SqliteLedger(path, _RETENTION)) as ledger:
        fill(ledger, Keyring(bytes(KEY_BYTES)), traces, time.time(), say=bench.say)
        warm = _times(ledger, traces, bench.sizes.finds)
    size = path.stat().st_size
    _out_of_cache(path)
    with closing(SqliteLedger(path, _RETENTION)) as ledger:
        cold = _times(ledger, traces, min(_COLD, bench.sizes.finds))
    for file in place.iterdir():
        file.unlink()
    return _Filled(size / traces, {"SQLite": warm, "SQLite, cold": cold})


def _redis(bench: Bench, stack: ExitStack, packed: int) -> tuple[redis.Redis, RedisLedger]:
    place = bench.place("redis")
    place.mkdir()
    process = stack.enter_context(Redis(place))
    server = stack.enter_context(redis.Redis.from_url(process.url))
    server.config_set("appendonly", "no")  # has no effect on used_memory
    server.config_set("hash-max-listpack-value", packed)
    return server, RedisLedger(connect(process.url), _RETENTION)


def _used(server: redis.Redis) -> int:
    return int(server.info("memory")["used_memory"])


def _times(ledger: Ledger, traces: int, finds: int) -> list[float]:
    """Return the milliseconds of each find. Raises RuntimeError if a trace is not found."""
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
