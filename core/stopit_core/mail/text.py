"""Decode the octets of a text part to visible text: transfer encoding, charset, format=flowed, HTML.

Everything is capped before it is decoded, and decoding never raises: for an unknown charset or a damaged encoding the
best possible text is returned. Quotes in HTML become lines that begin with "> ", as in plain text.
"""

from __future__ import annotations

import binascii
import re
from encodings import normalize_encoding
from encodings.aliases import aliases

__all__ = ["TEXT_BYTES", "decode_charset", "decode_transfer", "plain_lines", "unflow"]

TEXT_BYTES = 256 * 1024
"""Maximum size of the part of one text part that is read."""
_QUOTE_DEPTH = 50

_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
# Slow on hostile input (punycode, idna), or no charset of any mail at all.
_REFUSED = frozenset({"punycode", "idna", "unicode_escape", "raw_unicode_escape", "undefined", "rot_13"})
_KNOWN = (frozenset(aliases.values()) | {"koi8_u", "koi8_t", "cp874", "cp720", "cp856", "cp1006"}) - _REFUSED
# Clients name the subset and use the superset (WHATWG Encoding, section 4.2).
_SUPERSET = {"ascii": "utf_8", "latin_1": "cp1252", "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932"}


def decode_transfer(data: bytes, encoding: str) -> bytes:
    """Return the octets of a Content-Transfer-Encoding (RFC 2045 section 6); data in an unknown encoding is not
    changed."""
    match encoding.strip().lower():
        case "base64":
            digits = _NOT_BASE64.sub(b"", data)
            # A lone digit at the end of a cut part carries no octet.
            whole = digits[: len(digits) - 1] if len(digits) % 4 == 1 else digits
            return binascii.a2b_base64(whole + b"=" * (-len(whole) % 4))
        case "quoted-printable":
            return binascii.a2b_qp(data)
        case _:
            return data


def decode_charset(data: bytes, charset: str) -> str:
    """Decode text in a charset; if that is unknown or wrong, as UTF-8, and else as Windows-1252 with replacement
    characters.

    Only charsets that Python ships are looked up: the look-up of an invented name would stay in a cache for ever.
    """
    name = normalize_encoding(charset[:60]).lower()
    name = aliases.get(name, name)
    name = _SUPERSET.get(name, name)
    for candidate in (name, "utf_8") if name in _KNOWN else ("utf_8",):
        try:
            return data.decode(candidate)
        except (UnicodeError, LookupError, ValueError):
            continue
    if name in _KNOWN and name != "utf_8":
        return data.decode(name, "replace")
    return data.decode("cp1252", "replace")


def plain_lines(text: str) -> str:
    """Return text with LF line ends and no control characters but tabs.

    A bare CR inside text that has LF is not a line end: inside a quote it could turn quoted words into a typed line.
    """
    text = text.replace("\r\n", "\n")
    text = text.replace("\r", " ") if "\n" in text else text.replace("\r", "\n")
    return _LONE_SURROGATE.sub("\ufffd", _CONTROL.sub("", text))


def unflow(text: str, delete_space: bool) -> str:
    """Join the soft line breaks of format=flowed (RFC 3676 section 4); quoted lines keep one "> " for each level."""
    paragraphs: list[list[str]] = []
    open_depth = -1
    for line in text.split("\n"):
        content = line.lstrip(">")
        depth = len(line) - len(content)
        content = content.removeprefix(" ")
        flowed = content.endswith(" ") and content != "-- "
        body = content[:-1] if flowed and delete_space else content
        if open_depth == depth and content != "-- ":
            paragraphs[-1].append(body)
        else:
            paragraphs.append([f"{'>' * min(depth, _QUOTE_DEPTH)} " if depth else "", body])
        open_depth = depth if flowed else -1
    return "\n".join("".join(pieces) for pieces in paragraphs)
