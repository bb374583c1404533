"""The only reader of MIME: bounded in bytes, depth, parts and headers; it never raises.

The standard library's parser does not parse the structure: 100,000 parts take it 8 s, and 1,000 levels raise
RecursionError. Here a multipart is cut at its boundary lines (RFC 2046 section 5.1), at most 200 parts and 10 levels;
only field parameters go through `email`, with the compat32 policy, on 2 kB. Nothing is ever decompressed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message

from stopit_core.mail.headers import MAX_HEADERS, Headers
from stopit_core.mail.html import html_text
from stopit_core.mail.text import TEXT_BYTES, decode_charset, decode_transfer, plain_lines, unflow

__all__ = ["MAX_DEPTH", "MAX_PARTS", "REPORT_BYTES", "Mail", "read", "read_message"]

REPORT_BYTES = 1024 * 1024
"""Largest part of a body that `read` reads, in octets."""
MAX_PARTS = 200
MAX_DEPTH = 10

_HEADER_BYTES = 128 * 1024
_ATTACHED_BYTES = 64 * 1024
_PARAMETER_CHARACTERS = 2048
_TEXTS_TRIED = 2
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_FIELD = re.compile(rb"([!-9;-~]{1,256})[ \t]*:")
_MESSAGES = frozenset(
    {
        "message/rfc822",
        "message/global",
        "message/rfc822-headers",
        "message/global-headers",
        "text/rfc822-headers",
    }
)


@dataclass(frozen=True, slots=True)
class Mail:
    """A message, as far as it was read.

    `text` is what a person sees first: the first displayed text part that is not blank, LF line ends. `attached` are
    the headers of each attached message, in order (RFC 2046 section 5.2.1, RFC 5965), none from inside another.
    `truncated` is true if a cap was reached, so that text or attached messages may be missing.
    """

    headers: Headers
    text: str = ""
    attached: tuple[Headers, ...] = ()
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class _Part:
    """One entity, its type worked out. `default` is the type that stands for a missing one."""

    headers: Headers
    body: bytes
    default: str = "text/plain"

    @property
    def fields(self) -> Message:
        message = Message()
        for name in ("Content-Type", "Content-Disposition"):
            message[name] = (self.headers.first(name) or "")[:_PARAMETER_CHARACTERS]
        if not message["Content-Type"]:
            message.replace_header("Content-Type", self.default)
        return message

    @property
    def encoding(self) -> str:
        return (self.headers.first("Content-Transfer-Encoding") or "").partition(";")[0][:80]


def read(headers: Headers, body: bytes) -> Mail:
    """Return the message with these headers and this body (as far as it was collected)."""
    reader = _Reader(truncated=len(body) > REPORT_BYTES)
    try:
        texts = reader.visit(_Part(headers, body[:REPORT_BYTES]), 0)
        filled = [part for part in texts if not part.body[:TEXT_BYTES].isspace() and part.body]
        text = next((text for part in filled[:_TEXTS_TRIED] if (text := _text(part)).strip()), "")
    except Exception:  # noqa: BLE001  hostile input: a partial result is better than none
        text, reader.truncated = "", True
    return Mail(headers, text, tuple(reader.attached), reader.truncated)


def read_message(raw: bytes) -> Mail:
    """Return a whole message in RFC 5322 form, or the start of one, as a value."""
    return read(*_split_message(raw[: _HEADER_BYTES + REPORT_BYTES]))


class _Reader:
    """One pass through one message: counts parts, collects attached messages."""

    def __init__(self, truncated: bool) -> None:
        self.truncated = truncated
        self.attached: list[Headers] = []
        self._parts = 0

    def visit(self, part: _Part, depth: int) -> list[_Part]:
        """Return the displayed text parts in a part, the preferred first."""
        fields = part.fields
        kind = fields.get_content_type()
        boundary = fields.get_boundary() if kind.startswith("multipart/") else None
        if boundary:
            if depth >= MAX_DEPTH:
                self.truncated = True
                return []
            default = "message/rfc822" if kind == "multipart/digest" else "text/plain"
            found = [self.visit(child, depth + 1) for child in self._children(part.body, boundary, default)]
            texts = [text for texts in found for text in texts]
            if kind == "multipart/alternative":
                texts.sort(key=lambda text: text.fields.get_content_type() != "text/plain")
            return texts
        if kind in _MESSAGES or _is_message_file(fields):
            self._attach(part)
            return []
        shown = kind in ("text/plain", "text/html") and fields.get_content_disposition() != "attachment"
        return [part] if shown or kind.startswith("multipart/") else []

    def _children(self, body: bytes, boundary: str, default: str) -> Iterator[_Part]:
        for data in _split_parts(body, boundary.encode("utf-8", "surrogateescape")):
            self._parts += 1
            if self._parts > MAX_PARTS:
                self.truncated = True
                return
            headers, content = _split_message(data)
            yield _Part(headers, content, default)

    def _attach(self, part: _Part) -> None:
        start = decode_transfer(part.body[:_ATTACHED_BYTES].lstrip(b"\r\n"), part.encoding)
        headers, _ = _split_message(start)
        if len(headers):
            self.attached.append(headers)


def _is_message_file(fields: Message) -> bool:
    """Return whether this is an attached message that its client declared as an arbitrary file."""
    name = fields.get_filename("")
    return fields.get_content_type() == "application/octet-stream" and str(name).lower().endswith(".eml")


def _split_parts(body: bytes, boundary: bytes) -> Iterator[bytes]:
    """Yield the parts between the boundary lines, without the line end before each boundary."""
    line = re.compile(rb"^--" + re.escape(boundary[:200]) + rb"(--)?[ \t]*\r?$", re.M)
    start = -1
    for found in line.finditer(body):
        if start >= 0:
            yield _chomp(body[start : found.start()])
        start = found.end() + 1
        if found.group(1):
            return
    if start >= 0:
        yield body[start:]


def _chomp(data: bytes) -> bytes:
    return data.removesuffix(b"\n").removesuffix(b"\r")


def _split_message(data: bytes) -> tuple[Headers, bytes]:
    """Return headers and body, split at the first blank line. A line that neither begins nor continues a field is
    skipped."""
    if data[:1] == b"\n" or data[:2] == b"\r\n":
        return Headers(), data.lstrip(b"\r").removeprefix(b"\n")
    end = _BLANK_LINE.search(data)
    block, body = (data[: end.start()], data[end.end() :]) if end else (data, b"")
    pairs: list[tuple[bytes, list[bytes]]] = []
    for line in block[:_HEADER_BYTES].split(b"\n"):
        if line[:1] in (b" ", b"\t"):
            if pairs:
                pairs[-1][1].append(line)
        elif found := _FIELD.match(line):
            if len(pairs) >= MAX_HEADERS:
                break
            pairs.append((found.group(1), [line[found.end() :]]))
    return Headers((name, b"\n".join(lines)) for name, lines in pairs), body


def _text(part: _Part) -> str:
    """Return the visible text of a text part."""
    fields = part.fields
    charset = str(fields.get_param("charset", "") or "")
    data = decode_transfer(part.body[:TEXT_BYTES], part.encoding)
    text = plain_lines(decode_charset(data, charset))
    if fields.get_content_type() == "text/html":
        return html_text(text)
    if str(fields.get_param("format", "")).lower() == "flowed":
        return unflow(text, str(fields.get_param("delsp", "")).lower() == "yes")
    return text
