"""Reports and traces as bytes. The first byte is the version; an unknown one is a DecodeError, never a guess.

A new optional field with a default at the end of a struct keeps the version: old readers skip it, new readers
fill it in. Any other change is a new version with its own decoder beside the old one, because an upgrade finds
reports in the queue and fourteen days of traces in the ledger.
"""

from __future__ import annotations

import msgspec

from stopit_core.errors import DecodeError
from stopit_core.model import Digest, Report, Trace

__all__ = ["ANSWER_BYTES", "decode_report", "decode_trace", "encode_report", "encode_trace"]

ANSWER_BYTES = 64 * 1024
"""At most so much of an answer travels on the queue."""

_REPORT_V1 = b"\x01"
_TRACE_V1 = b"\x01"

_encoder = msgspec.msgpack.Encoder()
_report_decoder: msgspec.msgpack.Decoder[Report] = msgspec.msgpack.Decoder(Report)
_trace_decoder: msgspec.msgpack.Decoder[Trace] = msgspec.msgpack.Decoder(Trace)
_NO_MESSAGE = Digest(b"")


def encode_report(report: Report) -> bytes:
    """The report as bytes for the queue."""
    return _REPORT_V1 + _encoder.encode(report)


def decode_report(data: bytes) -> Report:
    """The report that `encode_report` made. Raises DecodeError on anything else."""
    if data[:1] != _REPORT_V1:
        raise DecodeError(f"report has version byte {data[:1]!r}; this version reads {_REPORT_V1!r}")
    try:
        return _report_decoder.decode(memoryview(data)[1:])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"report is damaged: {error}") from error


def encode_trace(trace: Trace) -> bytes:
    """The trace as bytes for the ledger, without its message digest (the ledger's key)."""
    return _TRACE_V1 + _encoder.encode(msgspec.structs.replace(trace, message=_NO_MESSAGE))


def decode_trace(message: Digest, data: bytes) -> Trace:
    """The trace that `encode_trace` made, under its key. Raises DecodeError on anything else."""
    if data[:1] != _TRACE_V1:
        raise DecodeError(f"trace has version byte {data[:1]!r}; this version reads {_TRACE_V1!r}")
    try:
        trace = _trace_decoder.decode(memoryview(data)[1:])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"trace is damaged: {error}") from error
    return msgspec.structs.replace(trace, message=message)
