"""Encode reports and traces as bytes. The first byte is the version; an unknown version is a DecodeError.

A new optional field with a default at the end of a struct keeps the version: old readers skip it, new readers use the
default. Any other change needs a new version with its own decoder beside the old one, because after an upgrade the
queue holds old reports and the ledger holds fourteen days of old traces.

A ledger holds tens of millions of traces, so traces are packed: values that most messages repeat (the login in MAIL
FROM, MAIL FROM in From) are stored once, and an IP address is stored as its octets.
"""

from __future__ import annotations

import socket
from enum import IntFlag
from typing import Any

import msgspec

from stopit_core.errors import DecodeError
from stopit_core.model import AuthResults, Digest, Report, Trace

__all__ = ["ANSWER_BYTES", "decode_report", "decode_trace", "encode_report", "encode_trace"]

ANSWER_BYTES = 64 * 1024
"""Maximum size of the part of an answer that is put on the queue."""

_REPORT_V1 = b"\x01"
_TRACE_V1 = b"\x01"
_TRACE_V2 = b"\x02"


class _Mark(IntFlag):
    """The bits of a packed trace. A new bit needs a new version, because an old reader would ignore it."""

    RELAY = 1
    BULK = 2
    OWN = 4
    MAIL_FROM_BEGINS_WITH_LOGIN = 8
    HEADER_FROM_IS_MAIL_FROM = 16


class _Packed(msgspec.Struct, array_like=True):
    """A trace without its key. `marks` says which parts of `mail_from` and `header_from` are left out. `client` is an
    IP address in network byte order (bytes), or other text as reported: a union that msgspec cannot express.
    `auth_results` is None if it is empty."""

    marks: int
    seen: float
    queue_id: str
    login: str
    mail_from: str
    header_from: str
    client: Any
    recipient_count: int
    recipients: bytes
    auth_results: AuthResults | None = None


_encoder = msgspec.msgpack.Encoder()
_report_decoder: msgspec.msgpack.Decoder[Report] = msgspec.msgpack.Decoder(Report)
_trace_v1_decoder: msgspec.msgpack.Decoder[Trace] = msgspec.msgpack.Decoder(Trace)
_trace_v2_decoder: msgspec.msgpack.Decoder[_Packed] = msgspec.msgpack.Decoder(_Packed)
_NO_AUTH_RESULTS = AuthResults()

# Plain integers, because every message makes a trace and the operators of an enum are slow.
_RELAY, _BULK, _OWN, _LOGIN, _SAME = (int(mark) for mark in _Mark)


def encode_report(report: Report) -> bytes:
    """Return the report as bytes for the queue."""
    return _REPORT_V1 + _encoder.encode(report)


def decode_report(data: bytes) -> Report:
    """Return the report that `encode_report` encoded. Raises DecodeError on any other bytes."""
    if data[:1] != _REPORT_V1:
        raise DecodeError(f"report has version byte {data[:1]!r}; this version reads {_REPORT_V1!r}")
    try:
        return _report_decoder.decode(memoryview(data)[1:])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DecodeError(f"report is damaged: {error}") from error


def encode_trace(trace: Trace) -> bytes:
    """Return the trace as bytes for the ledger, without its message digest (the ledger's key)."""
    marks = _RELAY * trace.relay | _BULK * trace.bulk | _OWN * trace.own
    login, mail_from, header_from = trace.login, trace.mail_from, trace.header_from
    if header_from and header_from == mail_from:
        marks |= _SAME
        header_from = ""
    if login and mail_from.startswith(login):
        marks |= _LOGIN
        mail_from = mail_from[len(login) :]
    packed = _Packed(
        marks,
        trace.seen,
        trace.queue_id,
        login,
        mail_from,
        header_from,
        _octets(trace.client),
        trace.recipient_count,
        trace.recipients,
        None if trace.auth_results == _NO_AUTH_RESULTS else trace.auth_results,
    )
    return _TRACE_V2 + _encoder.encode(packed)


def decode_trace(message: Digest, data: bytes) -> Trace:
    """Return the trace that `encode_trace` encoded, with its key. Raises DecodeError on any other bytes."""
    version, packed = data[:1], memoryview(data)[1:]
    try:
        if version == _TRACE_V2:
            return _unpacked(message, _trace_v2_decoder.decode(packed))
        if version == _TRACE_V1:
            return msgspec.structs.replace(_trace_v1_decoder.decode(packed), message=message)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError, OSError) as error:
        raise DecodeError(f"trace is damaged: {error}") from error
    raise DecodeError(f"trace has version byte {version!r}; this version reads {_TRACE_V1!r} and {_TRACE_V2!r}")


def _unpacked(message: Digest, packed: _Packed) -> Trace:
    marks = packed.marks
    mail_from = packed.login + packed.mail_from if marks & _LOGIN else packed.mail_from
    return Trace(
        message=message,
        seen=packed.seen,
        queue_id=packed.queue_id,
        login=packed.login,
        mail_from=mail_from,
        header_from=mail_from if marks & _SAME else packed.header_from,
        client=_client(packed.client),
        relay=bool(marks & _RELAY),
        bulk=bool(marks & _BULK),
        own=bool(marks & _OWN),
        recipient_count=packed.recipient_count,
        recipients=packed.recipients,
        auth_results=packed.auth_results or _NO_AUTH_RESULTS,
    )


def _octets(client: str) -> bytes | str:
    """Return an IP address in network byte order if the conversion back gives the same text; else return the text."""
    family = socket.AF_INET6 if ":" in client else socket.AF_INET
    try:
        octets = socket.inet_pton(family, client)
    except (OSError, ValueError):  # not an IP address, or text with a NUL or a surrogate
        return client
    return octets if socket.inet_ntop(family, octets) == client else client


def _client(packed: object) -> str:
    """Return the client as text. Raises ValueError on a value that is neither text nor as long as an IP address."""
    match packed:
        case str():
            return packed
        case bytes():
            return socket.inet_ntop(socket.AF_INET6 if len(packed) > 4 else socket.AF_INET, packed)
    raise ValueError("the client is neither an address nor text")
