"""The message counter, and the metrics that it updates."""

from __future__ import annotations

import threading
from typing import Any

from prometheus_client import CollectorRegistry, Histogram

from stopit_core.metrics import MessageResult
from stopit_core.metrics.multiprocess import BatchHistogram
from stopit_milter.message_counter import MessageCounter

SECONDS = (0.0, 0.5, 0.500001, 1.0, 2.0, 7.0)


def test_every_message_is_counted_once(message_counter: MessageCounter, metrics: Any) -> None:
    for result, number in ((MessageResult.ACCEPTED, 3), (MessageResult.FLAGGED, 1)):
        for _ in range(number):
            message_counter.ended(result, 0.25)
    message_counter.fold()
    message_counter.fold()
    value = metrics.registry.get_sample_value
    assert value("stopit_milter_messages_total", {"result": "accepted"}) == 3
    assert value("stopit_milter_messages_total", {"result": "flagged"}) == 1
    assert value("stopit_milter_message_duration_seconds_count") == 4
    assert value("stopit_milter_message_duration_seconds_sum") == 1.0


def test_none_is_lost_while_others_fold(message_counter: MessageCounter, metrics: Any) -> None:
    def send() -> None:
        for _ in range(5000):
            message_counter.ended(MessageResult.ACCEPTED, 0.001)

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        message_counter.fold()
    message_counter.fold()
    assert metrics.registry.get_sample_value("stopit_milter_messages_total", {"result": "accepted"}) == 20_000


def test_many_observations_are_the_same_as_one_by_one() -> None:
    registry = CollectorRegistry()
    at_once = BatchHistogram("at_once", "x", buckets=(0.5, 1.0), registry=registry)
    singly = Histogram("singly", "x", buckets=(0.5, 1.0), registry=registry)
    at_once.observe_all(SECONDS)
    at_once.observe_all(())
    for seconds in SECONDS:
        singly.observe(seconds)

    def samples(metric: Histogram) -> list[tuple[Any, ...]]:
        (family,) = metric.collect()
        return [
            (sample.name.rpartition("_")[2], sample.labels, sample.value)
            for sample in family.samples
            if not sample.name.endswith("_created")
        ]

    assert samples(at_once) == samples(singly)
