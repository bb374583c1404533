"""A counter of messages that is cheap on the hot path; the metrics get its counts once a second.

A Prometheus counter takes a lock and writes to a memory-mapped file, which costs as much as the rest of an ordinary
message. Here a message costs an append. The counts lag by a second and are exact after an orderly end; a worker that
is killed loses the last second.
"""

from __future__ import annotations

from collections import Counter, deque

from stopit_core.metrics import MessageResult, MilterMetrics

__all__ = ["MessageCounter"]


class MessageCounter:
    """Counts how messages ended, and how long each took. Any thread may use it."""

    def __init__(self, metrics: MilterMetrics) -> None:
        self._metrics = metrics
        self._ended: deque[tuple[MessageResult, float]] = deque()
        self.total = 0
        """Number of messages that ended, up to the last `fold`."""

    def ended(self, result: MessageResult, seconds: float) -> None:
        """Count a message that ended. Takes no lock and writes nothing."""
        self._ended.append((result, seconds))

    def fold(self) -> None:
        """Add everything counted up to now to the metrics."""
        # One by one from the left, because other threads append meanwhile.
        ended = [self._ended.popleft() for _ in range(len(self._ended))]
        self.total += len(ended)
        for result, number in Counter(result for result, _ in ended).items():
            self._metrics.messages.labels(result.value).inc(number)
        self._metrics.duration.observe_all([seconds for _, seconds in ended])
