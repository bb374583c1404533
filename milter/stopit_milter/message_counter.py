"""Messages are tallied here on their way, and the metrics are told once a second.

A counter of the metrics takes a lock, and writes to a file that all workers' counts are added up from: to count one
message by it costs as much as to decide on it. Here it costs an append. The counts lag by a second, and are exact
after an orderly end; a worker that is killed takes the last second's with it.
"""

from __future__ import annotations

from collections import Counter, deque

from stopit_core.metrics import MessageResult, MilterMetrics

__all__ = ["MessageCounter"]


class MessageCounter:
    """How messages ended, and how long each took. Any thread may use it."""

    def __init__(self, metrics: MilterMetrics) -> None:
        self._metrics = metrics
        self._ended: deque[tuple[MessageResult, float]] = deque()
        self.total = 0
        """How many messages ended, up to the last `fold`."""

    def ended(self, result: MessageResult, seconds: float) -> None:
        """The handling of a message ended. Takes no lock and writes nothing."""
        self._ended.append((result, seconds))

    def fold(self) -> None:
        """Tell the metrics of all that ended up to now."""
        # One by one from the left, because others append meanwhile.
        ended = [self._ended.popleft() for _ in range(len(self._ended))]
        self.total += len(ended)
        for result, number in Counter(result for result, _ in ended).items():
            self._metrics.messages.labels(result.value).inc(number)
        self._metrics.duration.observe_all([seconds for _, seconds in ended])
