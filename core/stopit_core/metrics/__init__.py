"""Every metric, once, with its help text. Labels are enums of ours: never an address, case, queue id or Message-ID.

A program makes one of these classes in a registry of its own, so nothing is registered by an import. Labelled
series start at zero: a rate over a series that was never there is no alarm. docs/metrics.md is written from here
(`catalogue`), so each metric also says what a person should look for in it.
"""

from stopit_core.metrics.described import Described, Metrics
from stopit_core.metrics.milter import HttpMetrics, MilterHttpMetrics, MilterMetrics
from stopit_core.metrics.notifier import NotifierMetrics
from stopit_core.metrics.results import FlagResult, MessageResult, SendResult, Stage, TraceResult

__all__ = [
    "Described",
    "FlagResult",
    "HttpMetrics",
    "MessageResult",
    "Metrics",
    "MilterHttpMetrics",
    "MilterMetrics",
    "NotifierMetrics",
    "SendResult",
    "Stage",
    "TraceResult",
]
