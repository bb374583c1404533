"""Reports and traces on the wire: they are decoded unchanged, and any other bytes are a DecodeError."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stopit_core.errors import DecodeError
from stopit_core.model import (
    AnswerReport,
    Assurance,
    AuthResults,
    Channel,
    Command,
    ContactReport,
    Digest,
    FlagReport,
    Original,
    Report,
    Trace,
)
from stopit_core.wire import decode_report, decode_trace, encode_report, encode_trace

text = st.text(max_size=40)
times = st.floats(allow_nan=False, allow_infinity=False)
digests = st.binary(max_size=16).map(Digest)
originals = st.builds(Original, message=digests, ambiguous=st.booleans())
flags = st.builds(
    FlagReport,
    id=text,
    at=times,
    queue_id=text,
    channel=st.sampled_from(Channel),
    command=st.sampled_from(Command),
    reporter=text,
    reporter_assurance=st.sampled_from(Assurance),
    originals=st.lists(originals, max_size=4).map(tuple),
    withheld=st.integers(0, 1000),
    observed=st.booleans(),
    truncated=st.booleans(),
)
answers = st.builds(
    AnswerReport,
    id=text,
    at=times,
    queue_id=text,
    ref=text,
    author=text,
    null_sender=st.booleans(),
    raw=st.binary(max_size=200),
    observed=st.booleans(),
)
contacts = st.builds(ContactReport, id=text, at=times, queue_id=text, pair=digests)
reports = flags | answers | contacts
auth_results = st.builds(AuthResults, dmarc_pass=st.booleans(), dkim_domain=text, spf_domain=text)
logins = st.sampled_from(("", "ann", "an", "ann@example.edu"))
addresses = text | st.sampled_from(("", "ann", "ann@example.edu", "Ann@example.edu", "bob@example.edu"))
clients = (
    text | st.ip_addresses().map(str) | st.sampled_from(("192.0.2.07", "IPv6:::1", "2001:DB8::1", "fe80::1%eth0"))
)
traces = st.builds(
    Trace,
    message=digests,
    seen=times,
    queue_id=text,
    login=text | logins,
    mail_from=addresses,
    header_from=addresses,
    client=clients,
    relay=st.booleans(),
    bulk=st.booleans(),
    own=st.booleans(),
    recipient_count=st.integers(0, 100_000),
    recipients=st.binary(max_size=64),
    auth_results=auth_results,
)

CONTACT = ContactReport(id="1", at=1.0, queue_id="4XYZ", pair=Digest(b"12345678"))


@given(reports)
def test_a_report_comes_out_as_it_went_in(report: Report) -> None:
    assert decode_report(encode_report(report)) == report


@given(traces)
def test_a_trace_comes_out_as_it_went_in(trace: Trace) -> None:
    assert decode_trace(trace.message, encode_trace(trace)) == trace


def test_an_ordinary_trace_is_small() -> None:
    """A server keeps tens of millions of traces in memory."""
    ordinary = Trace(
        message=Digest(b"0123456789abcdef"),
        seen=1_795_000_000.5,
        queue_id="4XyZ1234567",
        login="member1",
        mail_from="member1@example.edu",
        header_from="member1@example.edu",
        client="192.0.2.7",
        recipient_count=1,
        recipients=b"12345678",
    )
    assert len(encode_trace(ordinary)) <= 64


@given(traces)
def test_a_trace_of_the_first_version_is_read(trace: Trace) -> None:
    """After an upgrade the ledger holds two weeks of old traces."""
    first = b"\x01" + msgspec.msgpack.encode(msgspec.structs.replace(trace, message=Digest(b"")))
    assert decode_trace(trace.message, first) == trace


@given(traces, st.data())
def test_a_flipped_byte_in_a_trace_gives_a_value_or_a_decode_error(trace: Trace, data: st.DataObject) -> None:
    damaged = bytearray(encode_trace(trace))
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        assert isinstance(decode_trace(trace.message, bytes(damaged)), Trace)
    except DecodeError as error:
        assert str(error)  # noqa: PT017 - whether it is raised depends on the byte


@given(st.binary(max_size=300))
@example(b"")
@example(b"\x02\x9a\x00\xca\x00\x00\x00\x00\xa0\xa0\xa0\xa0\xc4\x03abc\x00\xc4\x00\xc0")
@example(b"\x01")
@example(b"\x01" + b"\x91" * 5000)
@example(b"\x01\xc1")
def test_arbitrary_bytes_are_a_decode_error_or_a_value(data: bytes) -> None:
    for read in (decode_report, lambda data: decode_trace(Digest(b"x"), data)):
        try:
            value = read(data)
        except DecodeError:
            continue
        assert isinstance(value, (FlagReport, AnswerReport, ContactReport, Trace))


@given(reports, st.data())
def test_a_report_that_was_cut_short_is_a_decode_error(report: Report, data: st.DataObject) -> None:
    whole = encode_report(report)
    with pytest.raises(DecodeError):
        decode_report(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(reports, st.data())
def test_a_flipped_byte_gives_a_value_or_a_decode_error(report: Report, data: st.DataObject) -> None:
    damaged = bytearray(encode_report(report))
    damaged[data.draw(st.integers(0, len(damaged) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        decode_report(bytes(damaged))
    except DecodeError as error:
        assert str(error)  # noqa: PT017 - whether it is raised depends on the byte


@pytest.mark.parametrize("version", [0, 3, 255])
def test_another_version_is_refused_by_name(version: int) -> None:
    data = bytes((version,)) + encode_report(CONTACT)[1:]
    with pytest.raises(DecodeError, match="version byte"):
        decode_report(data)
    with pytest.raises(DecodeError, match="version byte"):
        decode_trace(Digest(b""), data)


def test_an_unknown_kind_of_report_is_a_decode_error() -> None:
    data = b"\x01" + msgspec.msgpack.encode({"kind": "parcel", "id": "1"})
    with pytest.raises(DecodeError, match="damaged"):
        decode_report(data)


def test_a_field_that_a_later_version_adds_is_skipped() -> None:
    fields = msgspec.msgpack.decode(encode_report(CONTACT)[1:])
    later = b"\x01" + msgspec.msgpack.encode({**fields, "colour": "red"})
    assert decode_report(later) == CONTACT


def test_a_trace_does_not_hold_its_own_key() -> None:
    message = Digest(b"0123456789abcdef")
    assert message not in encode_trace(Trace(message=message, seen=1.0))
