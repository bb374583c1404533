"""Reading MIME: the visible text, attached messages, caps, and hostile input that never raises."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stopit_core.mail import REPORT_BYTES, Headers, read, read_message
from stopit_core.mail.html import html_text
from stopit_core.mail.reading import MAX_DEPTH, MAX_PARTS
from stopit_core.mail.text import decode_charset, decode_transfer, plain_lines, unflow


def of_type(kind: str, body: bytes, encoding: str = "7bit") -> str:
    headers = Headers([("Content-Type", kind), ("Content-Transfer-Encoding", encoding)])
    return read(headers, body).text


def test_a_plain_message() -> None:
    mail = read_message(b"Subject: hi\r\nX:\r\n folded\r\n\r\nhello\r\nyou\r\n")

    assert mail.text == "hello\nyou\n"
    assert mail.headers.first("X") == "folded"
    assert mail.attached == ()
    assert not mail.truncated


def test_headers_without_a_body_and_body_without_headers() -> None:
    assert read_message(b"Subject: hi").headers.first("subject") == "hi"
    assert read_message(b"\nhello").text == "hello"
    assert read_message(b"").text == ""


@pytest.mark.parametrize(
    ("charset", "octets", "text"),
    [
        ("utf-8", "grüße".encode(), "grüße"),
        ("UTF_8", "grüße".encode(), "grüße"),
        ("us-ascii", "grüße".encode("cp1252"), "grüße"),
        ("iso-8859-1", b"\x93x\x94", "“x”"),
        ("iso-8859-2", "ł".encode("iso-8859-2"), "ł"),
        ("gb2312", "繁體".encode("gb18030"), "繁體"),
        ("koi8-u", "ї".encode("koi8-u"), "ї"),
        ("utf-16", "hi".encode("utf-16"), "hi"),
        ("x-martian", "grüße".encode(), "grüße"),
        ("x-martian", b"gr\xfc\xdfe", "grüße"),
        ("punycode", b"abc-", "abc-"),
        ("zlib", b"abc", "abc"),
        ("../../etc/passwd", b"abc", "abc"),
        ("iso-2022-jp", b"abc\x1b$B\xff", "abc\ufffd"),
        ("", b"abc", "abc"),
    ],
)
def test_charsets(charset: str, octets: bytes, text: str) -> None:
    assert decode_charset(octets, charset) == text


@pytest.mark.parametrize(
    ("encoding", "data", "octets"),
    [
        ("base64", b"c3RvcGl0", b"stopit"),
        ("BASE64 ", b"c3Rv\r\n cGl0\n", b"stopit"),
        ("base64", b"c3RvcGl0c", b"stopit"),
        ("base64", b"c3RvcGl", b"stopi"),
        ("base64", b"***", b""),
        ("quoted-printable", b"st=6Fpi=\r\nt =ZZ", b"stopit =ZZ"),
        ("8bit", b"\xff", b"\xff"),
        ("x-yenc", b"abc", b"abc"),
    ],
)
def test_transfer_encodings(encoding: str, data: bytes, octets: bytes) -> None:
    assert decode_transfer(data, encoding) == octets


def test_line_ends_and_controls() -> None:
    assert plain_lines("a\r\nb\x00\x1b[1mc\td") == "a\nb[1mc\td"
    assert plain_lines("a\rb\nc") == "a b\nc"
    assert plain_lines("a\rb") == "a\nb"


def test_flowed_lines_are_joined_at_the_same_depth() -> None:
    text = "one \ntwo\n> a \n> b\n>> c \nd\n stuffed\n-- \nVera"

    assert unflow(text, delete_space=False) == "one two\n> a b\n>> c \nd\nstuffed\n-- \nVera"
    assert unflow("ab \ncd", delete_space=True) == "abcd"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>one</p><p>two</p>", ["one", "two"]),
        ("<div>sto<b>pit</b></div>", ["stopit"]),
        ("one<br>two", ["one", "two"]),
        ("<table><tr><td>one</td><td>two</td></tr></table>", ["one", "two"]),
        ("<blockquote>one<p>two</p></blockquote>three", ["> one", "> two", "three"]),
        ("a<blockquote>b<blockquote>c</blockquote>d</blockquote>e", ["a", "> b", "> c", "> d", "e"]),
        ("<div style='DISPLAY : none'>x</div>y", ["y"]),
        ("<span style='font-size:0px'>x</span><span style='font-size:0.8em'>y</span>", ["y"]),
        ("<script>x</script><style>x</style><title>x</title>y", ["y"]),
        ('<?xml version="1.0" encoding="utf-8"?><p>y</p>', ["y"]),
        ("<p style='padding-left:99999999em;margin-top:99999999em'>y</p>", ["y"]),
        ("", []),
        ("<!-- x -->", []),
        ("\x00\ud800<p>y", ["y"]),
    ],
)
def test_html(html: str, text: list[str]) -> None:
    shown = [" ".join(line.split()) for line in html_text(html).split("\n")]

    assert [line for line in shown if line not in ("", ">")] == text


def test_attached_messages_are_originals_of_their_own() -> None:
    inner = b"Message-ID: <one@x>\nSubject: a\n\nbody"
    body = b"--b\n\nsee below\n--b\nContent-Type: message/rfc822\n\n" + inner
    body += b"\n--b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n"
    body += base64.encodebytes(b"Message-ID: <two@x>\n\nbody") + b"--b--\n"

    mail = read(Headers([("Content-Type", "multipart/mixed; boundary=b")]), body)

    assert mail.text == "see below"
    assert [each.first("Message-ID") for each in mail.attached] == ["<one@x>", "<two@x>"]


def test_a_multipart_without_boundary_is_shown_as_it_is() -> None:
    assert of_type("multipart/mixed", b"stopit") == "stopit"


def test_a_part_that_was_cut_off_is_read_as_far_as_it_goes() -> None:
    assert of_type("multipart/mixed; boundary=b", b"--b\n\nsto") == "sto"
    assert of_type("text/plain", b"c3RvcGl0IA", "base64").strip() == "stopit"


def test_what_is_not_displayed_gives_no_text() -> None:
    assert of_type("image/png", b"stopit") == ""
    assert of_type("application/zip", b"PK\x03\x04stopit") == ""


def test_the_caps_are_told() -> None:
    mixed = Headers([("Content-Type", "multipart/mixed; boundary=b")])
    message = b"--b\nContent-Type: message/rfc822\n\nMessage-ID: <a@b>\n\n\n"

    assert read(Headers(), b"x" * (REPORT_BYTES + 1)).truncated
    assert not read(Headers(), b"x" * REPORT_BYTES).truncated
    many = read(mixed, message * (MAX_PARTS + 5))
    assert many.truncated
    assert len(many.attached) == MAX_PARTS
    assert not read(mixed, message * MAX_PARTS).truncated
    deep = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (i, i) for i in range(MAX_DEPTH + 1))
    assert read_message(deep + b"\nstopit").truncated
    assert read_message(deep + b"\nstopit").text == ""


@given(st.binary(max_size=2000))
def test_hostile_bytes_never_raise(raw: bytes) -> None:
    mail = read_message(raw)

    assert len(mail.text) <= 2 * len(raw) + 10
    assert "\x00" not in mail.text


PIECES = st.sampled_from(
    [
        b"Content-Type: multipart/mixed; boundary=b\n",
        b'Content-Type: multipart/alternative; boundary="b"\n',
        b"Content-Type: message/rfc822\n",
        b"Content-Type: text/html; charset=utf-7\n",
        b'Content-Type: \xff;;="\n',
        b"Content-Transfer-Encoding: base64\n",
        b"Content-Transfer-Encoding: quoted-printable\n",
        b"Message-ID: <a@b>\n",
        b"Content-Type: text/plain; format=flowed; charset*=x'\n",
        b"\n",
        b"--b\n",
        b"--b--\n",
        b"=\r\n",
        b"\r",
        b"> ",
        b"<div>",
        b"<blockquote>",
        b"</p><table><td colspan=9999999>",
        b"&#xe0f0;",
        b"<!--",
        b"\xed\xa0\x80",
        b"text ",
    ]
)


@settings(max_examples=200)
@given(st.lists(PIECES, max_size=60))
def test_hostile_structure_never_raises(pieces: list[bytes]) -> None:
    mail = read_message(b"".join(pieces))

    assert "\ue0f0" not in html_text(mail.text)
    assert "\x00" not in mail.text
    mail.text.encode("utf-8")


@given(st.text(max_size=500))
def test_hostile_html_never_raises(html: str) -> None:
    for document in (html, f"<blockquote>{html}"):
        assert not {"\ue0f0", "\ue0f1", "\x00"} & set(html_text(document))
