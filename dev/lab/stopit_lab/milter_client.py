"""A client of the milter protocol, version 6 (sendmail's include/libmilter/mfdef.h): what a milter does with mail.

    with MilterClient("/run/stopit/milter.sock") as mta:
        result = mta.send(Submission(recipients=(b"<mallory@campus.example>",), fields=..., body=...))

It keeps to what was negotiated: it leaves out steps, waits for no reply where the milter gives none, and stops a body
at SKIP. `postfix_content` turns the octets of a message into what Postfix would send of them.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

__all__ = ["Edit", "MilterClient", "Result", "Submission", "postfix_content"]

_VERSION = 6
_ACTIONS = 0x1FF
_STEPS = 0x1FFFFF
_BLOCK_BYTES = 65535
_PATIENCE = 20.0

# Of each command: the bit that leaves it out (SMFIP_NO*), and the bit by which it gets no reply (SMFIP_NR_*).
_CONNECT, _HELO, _MAIL, _RCPT, _DATA = b"C", b"H", b"M", b"R", b"T"
_HEADER, _END_OF_HEADERS, _BODY, _END_OF_MESSAGE = b"L", b"N", b"B", b"E"
_OPTIONS = {
    _CONNECT: (0x1, 0x1000),
    _HELO: (0x2, 0x2000),
    _MAIL: (0x4, 0x4000),
    _RCPT: (0x8, 0x8000),
    _DATA: (0x200, 0x10000),
    _HEADER: (0x20, 0x80),
    _END_OF_HEADERS: (0x40, 0x40000),
    _BODY: (0x10, 0x80000),
    _END_OF_MESSAGE: (0, 0),
}
_KEEPS_LEADING_SPACE = 0x100000

_CONTINUE, _SKIP, _PROGRESS = b"c", b"s", b"p"
_FINAL = (b"a", b"d", b"r", b"t", b"y")
_TEXTS = {b"-": "delrcpt", b"+": "addrcpt", b"h": "addheader"}

Edit = tuple[str, ...]
"""A change to a message: delrcpt, addrcpt, addheader or chgheader, and its arguments."""


@dataclass(frozen=True)
class Submission:
    """One message with its envelope. Paths are the arguments of MAIL and RCPT; `login` is the SASL login.

    `fields` are names and values, a value with what stands behind the colon, leading space included.
    """

    recipients: Sequence[bytes]
    fields: Sequence[tuple[bytes, bytes]]
    body: bytes = b""
    mail_from: bytes = b"<>"
    login: bytes = b""
    queue_id: bytes = b"4XLAB"


@dataclass(frozen=True)
class Result:
    """The outcome of a message. `reply` is the last reply's code in the protocol (b"a": accept).

    `at_end_of_headers`: that reply came before the body.
    """

    reply: bytes
    edits: tuple[Edit, ...] = ()
    at_end_of_headers: bool = False


@dataclass
class MilterClient:
    """A connection to the milter at a UNIX socket's path, or at a (host, port)."""

    address: str | tuple[str, int]
    client: str = "192.0.2.9"
    actions: int = field(init=False)
    steps: int = field(init=False)

    def __post_init__(self) -> None:
        family = socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        self._socket.settimeout(_PATIENCE)
        self._socket.connect(self.address)
        self._put(b"O", struct.pack("!III", _VERSION, _ACTIONS, _STEPS))
        command, data = self._get()
        if command != b"O":
            raise RuntimeError(f"the milter answered {command!r} to the negotiation")
        _, self.actions, self.steps = struct.unpack("!III", data[:12])
        self._step(_CONNECT, b"client.example\0" + b"4" + struct.pack("!H", 25) + self.client.encode() + b"\0")
        self._step(_HELO, b"client.example\0")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._put(b"Q", b"")
        self._socket.close()

    def send(self, message: Submission) -> Result:
        """Send a message, and return its outcome. Raises EOFError when the milter closes the connection."""
        self._macros(_MAIL, {b"{auth_authen}": message.login} if message.login else {})
        steps = [(_MAIL, message.mail_from + b"\0"), *((_RCPT, path + b"\0") for path in message.recipients)]
        steps.append((_DATA, b""))
        strip = not self.steps & _KEEPS_LEADING_SPACE
        for name, value in message.fields:
            steps.append((_HEADER, name + b"\0" + (value.removeprefix(b" ") if strip else value) + b"\0"))
        for command, data in steps:
            if (reply := self._step(command, data)) != _CONTINUE:
                return Result(reply)
        self._macros(_END_OF_HEADERS, {b"i": message.queue_id})
        if (reply := self._step(_END_OF_HEADERS, b"")) != _CONTINUE:
            return Result(reply, at_end_of_headers=True)
        for start in range(0, len(message.body), _BLOCK_BYTES):
            reply = self._step(_BODY, message.body[start : start + _BLOCK_BYTES])
            if reply == _SKIP:
                break
            if reply != _CONTINUE:
                return Result(reply)
        return self._end()

    def _end(self) -> Result:
        """Send the end of the message. Return the edits, and the reply that ends them."""
        self._put(_END_OF_MESSAGE, b"")
        edits: list[Edit] = []
        while (answer := self._get())[0] not in (*_FINAL, _CONTINUE):
            command, data = answer
            if command == _PROGRESS:
                continue
            if command == b"m":
                (index,) = struct.unpack("!I", data[:4])
                name, value = _strings(data[4:])
                edits.append(("chgheader", name, str(index), value))
            else:
                edits.append((_TEXTS[command], *_strings(data)))
        return Result(answer[0], tuple(edits))

    def _step(self, command: bytes, data: bytes) -> bytes:
        """Send a step where the milter wants it. Return its reply, CONTINUE where it gives none."""
        left_out, unanswered = _OPTIONS[command]
        if self.steps & left_out:
            return _CONTINUE
        self._put(command, data)
        if self.steps & unanswered:
            return _CONTINUE
        while (reply := self._get()[0]) == _PROGRESS:
            pass
        return reply

    def _macros(self, command: bytes, macros: dict[bytes, bytes]) -> None:
        self._put(b"D", command + b"".join(name + b"\0" + value + b"\0" for name, value in macros.items()))

    def _put(self, command: bytes, data: bytes) -> None:
        self._socket.sendall(struct.pack("!I", len(data) + 1) + command + data)

    def _get(self) -> tuple[bytes, bytes]:
        (length,) = struct.unpack("!I", self._exactly(4))
        data = self._exactly(length)
        return data[:1], data[1:]

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._socket.recv(size - len(data))
            if not more:
                raise EOFError("the milter closed the connection")
            data += more
        return data


def postfix_content(raw: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return the header fields and the body that Postfix sends of a message whose lines end in LF or CR LF.

    After smtpd(8) (data_cmd in src/smtpd/smtpd.c), the parser (src/global/mime_state.c, is_header.c) and milter8.c; a
    C string ends at its first NUL, a header line too. Left out: what needs the sizes of main.cf (header_size_limit,
    line_length_limit), fields that cleanup(8) adds or drops, and the first Received, which a milter is not shown.
    """
    lines = raw.split(b"\n")
    if not lines[-1]:
        lines.pop()
    lines = [line.rstrip(b"\r") for line in lines]
    lines = _as_smtpd_takes_them(lines)
    buffers: list[bytes] = []
    for number, line in enumerate(lines):
        text = line.split(b"\0")[0]
        if buffers and text[:1] in (b" ", b"\t"):
            buffers[-1] += b"\n" + text
        elif length := _header_length(text):
            buffers.append(text[:length] + text[length:].lstrip(b" \t"))
        else:
            rest = lines[number:] if text else lines[number + 1 :]
            break
    else:
        rest = []
    fields = [(name, value) for name, _, value in (buffer.partition(b":") for buffer in buffers)]
    return fields, b"".join(line + b"\r\n" for line in rest)


def _as_smtpd_takes_them(lines: list[bytes]) -> list[bytes]:
    """Return the lines that smtpd(8) hands on: "From " lines as fields, and no continuation at the top."""
    for number, line in enumerate(lines):
        if line.lstrip(b">")[:5].lower() == b"from ":
            continue
        top = [b"X-Mailbox-Line: " + each for each in lines[:number]]
        return [*top, *([b""] if line[:1] in (b" ", b"\t") else []), *lines[number:]]
    return [b"X-Mailbox-Line: " + each for each in lines]


def _header_length(text: bytes) -> int:
    """Return the length of a field's name, 0 when the line begins no field."""
    spaces = False
    for position, octet in enumerate(text):
        match chr(octet):
            case ":":
                return len(text[:position].rstrip(b" \t"))
            case " " | "\t":
                spaces = True
                if not position:
                    return 0
            case _ if spaces or octet <= 0x20 or octet >= 0x7F:
                return 0
    return 0


def _strings(data: bytes) -> tuple[str, ...]:
    return tuple(text.decode("utf-8", "surrogateescape") for text in data.split(b"\0")[:-1])
