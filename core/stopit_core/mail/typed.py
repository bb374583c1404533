"""Separate what the person typed from what a client quoted.

Our own rule reads the text line by line. Quoted lines begin with ">" (HTML quotes do too, see `html`). Lines that
introduce a quote ("On ... wrote:", in any language) are recognised because they are right above a quote and end with
a colon. If an original follows without ">" (Outlook, forwards), its end cannot be determined: nothing below it counts
as typed. quotequail, which is quadratic, is given at most 4 kB, and only for introductions that this rule does not
know. In doubt a line counts as not typed: a missed flag can be sent again, a false one cannot be taken back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import quotequail

from stopit_core.mail.folding import invisible_removed
from stopit_core.mail.text import TEXT_BYTES

__all__ = ["first_typed_line", "typed_text"]

_QUAIL_CHARACTERS = 4096
_LINE_CHARACTERS = 200
_LINES = 10_000
_LEAD_LINES = 4
_BLANKS_BEFORE_QUOTE = 2
_LABELS = 3

_SIGNATURE = re.compile(r"^\s*(--|—|_{2,3})\s*$")
# Its header lines ("Hash: SHA256") end at a blank line (RFC 9580 section 7).
_CLEAR_SIGNED = "-----BEGIN PGP SIGNED MESSAGE-----"
# "-----Original Message-----", "------ Ursprüngliche Nachricht ------", "---------- Forwarded message ---------"
_DIVIDER = re.compile(r"^\s*-{3,}\s*[^\W\d][^-]{2,60}-{3,}\s*$|^\s*_{10,}\s*$")
_LABEL = re.compile(r"^\s*\*?[^\W\d][\w .’'-]{1,24}\s?:\s?\*?\s*\S")
_LEAD = re.compile(r"^\s*(On|Am|Le|El|Il|Op|Den|Em|På|Dne|Dnia|W dniu|Pada|Vào|Στις|În|Dana|Kuupäeval)\s")
_DATE_OR_ADDRESS = re.compile(r"\d\D*\d\D*\d|@|<")
_WROTE = re.compile(
    r"\b(wrote|writes|schrieb|schreibt|écrit|escribió|scritto|scrive|schreef|geschreven|skrev|skrifaði|escreveu"
    r"|napisał|napsala?|kirjoitti|írta|написал|пишет|пише|έγραψε|yazdı|a scris|napisao)|写道|のメール|님이 작성",
    re.I,
)
# A picture in the text leaves U+FFFC behind.
_UNSEEN_ENDS = "\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f\u2800\ufffc"


def first_typed_line(text: str) -> str:
    """Return the first non-blank line that the person certainly typed, "" if there is none."""
    return next((line.strip() for line in _typed_lines(text) if line.strip()), "")


def typed_text(text: str, limit: int) -> str:
    """Return all that the person typed, without quotes and signature, cut at `limit` characters."""
    kept: list[str] = []
    size = 0
    for line in _typed_lines(text):
        kept.append(line.rstrip())
        size += len(line) + 1
        if size > limit:
            break
    return "\n".join(kept).strip()[:limit]


def _typed_lines(text: str) -> Iterator[str]:
    """Yield the lines that the person typed, in order, including blank ones."""
    lines = text[:TEXT_BYTES].split("\n", _LINES)[:_LINES]
    quail_left = _QUAIL_CHARACTERS
    at = 0
    while at < len(lines):
        line = lines[at]
        if _is_quoted(line):
            at += 1
        elif not _seen(line):
            yield ""
            at += 1
        elif line.strip() == _CLEAR_SIGNED:
            at = next((below for below in range(at, len(lines)) if not _seen(lines[below])), len(lines))
        elif _SIGNATURE.match(line) or _DIVIDER.match(line) or _is_label_block(lines, at):
            return
        elif lead := _lead_lines(lines, at):
            at += lead
        else:
            window = _possible_lead(lines, at)
            if _may_lead(window) and len(window) <= quail_left:
                quail_left -= len(window)
                if _quail_says_quote(window):
                    return
            yield line
            at += 1


def _seen(line: str) -> str:
    """Return the visible part of a line."""
    return invisible_removed(line).strip().strip(_UNSEEN_ENDS).strip()


def _is_quoted(line: str) -> bool:
    return line.lstrip(" \t\u00a0\u200b\ufeff").startswith((">", "＞", "|", "»"))


def _paragraph(lines: list[str], at: int) -> list[str]:
    """Return the lines from here to the next blank or quoted one, at most as many as a wrapped introduction can
    have."""
    found: list[str] = []
    for line in lines[at : at + _LEAD_LINES]:
        if not _seen(line) or _is_quoted(line):
            break
        found.append(line[: _LINE_CHARACTERS * 2])
    return found


def _lead_lines(lines: list[str], at: int) -> int:
    """Return how many lines from here introduce a quote below ("On ..., X <x@y>" and then "wrote:"), 0 if none do."""
    run = _paragraph(lines, at)
    for count in range(1, len(run) + 1):
        if not run[count - 1].rstrip().endswith((":", "：")) or not _quote_follows(lines, at + count):
            continue
        # "stopit", and right below it "On ... wrote:": the introduction begins below, this line is typed.
        if any(_LEAD.match(line) for line in run[1:count]):
            return 0
        # A line that only ends with a colon may be typed ("My answers below:").
        begins = _may_begin_lead(run[0]) or (count == 1 and _WROTE.search(run[0]))
        return count if begins or (count > 1 and run[1].lstrip().startswith("<")) else 0
    return 0


def _may_begin_lead(line: str) -> bool:
    return bool(_LEAD.match(line) or _DATE_OR_ADDRESS.search(line))


def _quote_follows(lines: list[str], at: int) -> bool:
    for line in lines[at : at + _BLANKS_BEFORE_QUOTE + 1]:
        if _is_quoted(line):
            return True
        if _seen(line):
            return False
    return False


def _is_label_block(lines: list[str], at: int) -> bool:
    """Return whether From:, Sent:, To: ... in any language begin here: the head of an original without quote
    marks."""
    return sum(bool(_LABEL.match(line)) for line in _paragraph(lines, at)[:_LABELS]) == _LABELS


def _possible_lead(lines: list[str], at: int) -> str:
    """Return the text for quotequail: a line that could begin a wrapped introduction, with the lines below it; else
    the line alone.

    quotequail joins lines, so it would take "stopit" above a Russian introduction for a part of it.
    """
    run = _paragraph(lines, at)
    return "\n".join(run if _may_begin_lead(run[0]) else run[:1])


def _may_lead(window: str) -> bool:
    """Return whether quotequail could find an introduction: they end with a colon, dashes, or an address in
    brackets."""
    return any(line.rstrip().endswith((":", "-", ">", "_")) for line in window.split("\n"))


def _quail_says_quote(window: str) -> bool:
    """Return whether quotequail takes the first of these lines for the introduction of a quote."""
    try:
        shown, text = quotequail.quote(window, quote_intro_line=True)[0]
    except Exception:  # noqa: BLE001  third-party parser, hostile input
        return True
    return not shown or not text.strip()
