"""A message in a file, in the form in which Postfix shows a message to a milter.

Postfix sends a milter what smtpd(8) and cleanup(8) made of the lines that came by SMTP (src/smtpd/smtpd.c,
src/global/mime_state.c, src/milter/milter8.c). What differs from the file:

* A line ends in LF or CR LF in a file, and in CR LF in the body that the milter gets.
* The first line that is no field and continues none ends the headers, and is the first of the body.
* A line of the headers is cut at a NUL. A value loses the first space after the colon.
* "From " lines at the top, as in an mbox, become fields.

The limits of Postfix (header_size_limit, line_length_limit) are not applied. Fields that it adds (Date, Message-ID)
or drops (Bcc, Return-Path) are left as they are in the file.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from itertools import chain

from stopit_core.decision.transaction import Field

__all__ = ["split_message"]

_BLOCK_BYTES = 65535
"""MILTER_CHUNK_SIZE: size of the blocks in which a milter gets a body, in octets."""
_FIELD = re.compile(rb"([!-9;-~]+)[ \t]*:")
_MAILBOX_LINE = re.compile(rb">*From ", re.I)


def split_message(raw: bytes) -> tuple[list[Field], Iterator[bytes]]:
    """Return the header fields of a message and its body, in blocks."""
    lines = (line.removesuffix(b"\n").rstrip(b"\r") for line in io.BytesIO(raw))
    fields: list[Field] = []
    first: tuple[bytes, ...] = ()
    top = True
    for whole in lines:
        line, _, _ = whole.partition(b"\0")
        found = _FIELD.match(line)
        if top and _MAILBOX_LINE.match(line):
            fields.append(("X-Mailbox-Line", line))
        elif found:
            fields.append((found[1].decode("ascii"), line[found.end() :].removeprefix(b" ")))
            top = False
        elif line[:1] in (b" ", b"\t") and not top:
            name, value = fields[-1]
            fields[-1] = (name, value + b"\n" + line)
        else:
            first = (whole,) if line else ()
            break
    return fields, _blocks(chain(first, lines))


def _blocks(lines: Iterable[bytes]) -> Iterator[bytes]:
    collected = bytearray()
    for line in lines:
        collected += line + b"\r\n"
        while len(collected) >= _BLOCK_BYTES:
            yield bytes(collected[:_BLOCK_BYTES])
            del collected[:_BLOCK_BYTES]
    if collected:
        yield bytes(collected)
