"""All metrics with their help texts. Label values are enums: never an address, case, queue id or Message-ID.

A program creates one of these classes in its own registry, so an import registers nothing. Labelled series start at
zero, because an alert on the rate of a series that does not exist never fires. docs/metrics.md is generated from here
(`stopit_lab.metrics_page`), so each metric also says what an operator should look for.
"""

from stopit_core.metrics.described import Described, Metrics
from stopit_core.metrics.milter import HttpMetrics, MilterHttpMetrics, MilterMetrics
from stopit_core.metrics.notifier import NotifierMetrics
from stopit_core.metrics.results import FlagResult, MessageResult, SendLabel, Stage, TraceResult

__all__ = [
    "Described",
    "FlagResult",
    "HttpMetrics",
    "MessageResult",
    "Metrics",
    "MilterHttpMetrics",
    "MilterMetrics",
    "NotifierMetrics",
    "SendLabel",
    "Stage",
    "TraceResult",
]
