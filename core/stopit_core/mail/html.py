"""Convert HTML to the text that a person sees, with quotes marked.

inscriptis lays the text out. Before that the tree is simplified, because a hostile message can make layout expensive:
tables become blocks (cells are padded to the widest one), style attributes are removed (a padding of a million),
hidden elements and signatures are removed, and what a mail client marked as quoted gets "> " before each line. At
most 3,000 tags are read.
"""

from __future__ import annotations

import re
from itertools import islice

from inscriptis.html_engine import Inscriptis
from lxml.etree import LxmlError
from lxml.html import Element, HtmlElement, document_fromstring

__all__ = ["html_text"]

_MAX_TAGS = 3000

# Two private-use characters mark a quote while inscriptis lays it out; the message's own are removed first.
_OPEN, _CLOSE = "\ue0f0", "\ue0f1"
_MARKS = re.compile(f"[{_OPEN}{_CLOSE}]")
_TAG = re.compile("<")
_DECLARATION = re.compile(r"^\s*<\?xml[^>]{0,200}>")
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_HIDDEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|mso-hide\s*:\s*all|font-size\s*:\s*0(?![.\d]*[1-9])", re.I
)
_DROPPED_TAGS = frozenset({"head", "script", "style", "title", "template", "noscript", "object", "svg", "textarea"})
_AS_BLOCK = frozenset({"table", "tbody", "thead", "tfoot", "tr", "td", "th", "caption", "center", "fieldset"})
_QUOTE_CLASSES = frozenset(
    {
        "gmail_quote",
        "gmail_attr",
        "gmail_extra",
        "yahoo_quoted",
        "protonmail_quote",
        "tutanota_quote",
        "moz-cite-prefix",
        "moz-forward-container",
        "moz-email-headers-table",
        "zmail_extra",
        "WordSection1_quote",
        "OutlookMessageHeader",
        "ms-outlook-mobile-reference-message",
        "mail_android_quote",
        "iwp_quote",
    }
)
_SIGNATURE_CLASSES = frozenset(
    {"gmail_signature", "moz-signature", "protonmail_signature_block", "roundcube_signature"}
)
_SIGNATURE_IDS = frozenset({"Signature", "ms-outlook-mobile-signature", "composer_signature", "_rc_sig"})
# Everything after one of these belongs to the original, which has no element of its own.
_DIVIDER_IDS = frozenset({"divRplyFwdMsg", "mail-editor-reference-message-container", "zwchr", "stopSpelling"})
_DIVIDER = "-----Original Message-----"


def html_text(html: str) -> str:
    """Return the displayed text of an HTML document, LF line ends; "" if it cannot be parsed at all."""
    try:
        tree = document_fromstring(_NOT_XML.sub("", _cut(_DECLARATION.sub("", html))))
        _plain(tree)
        return _quote_lines(Inscriptis(tree).get_text())
    except (LxmlError, ValueError, AssertionError, IndexError, KeyError, RecursionError):
        return ""


def _cut(html: str) -> str:
    """Return the beginning of the document with at most _MAX_TAGS tags."""
    beyond = next(islice(_TAG.finditer(html), _MAX_TAGS, None), None)
    return html[: beyond.start()] if beyond else html


def _plain(tree: HtmlElement) -> None:
    """Simplify the tree in place: see the module's docstring."""
    if _MARKS.search("".join(tree.itertext())):
        for element in tree.iter():
            element.text = _MARKS.sub("", element.text or "")
            element.tail = _MARKS.sub("", element.tail or "")
    for element in list(tree.iter()):
        if not isinstance(element.tag, str):
            continue
        if element is not tree and _unseen(element):
            element.drop_tree()
            continue
        element.attrib.pop("style", None)
        if element.tag in _AS_BLOCK:
            element.tag = "div"
    # Quotes are marked last, because marks added earlier would be removed as the message's own.
    for element in list(tree.iter()):
        if element is tree or not isinstance(element.tag, str):
            continue
        if element.get("id", "") in _DIVIDER_IDS:
            _put_before(element, _DIVIDER)
        elif _is_quote(element):
            _mark(element)


def _unseen(element: HtmlElement) -> bool:
    return (
        element.tag in _DROPPED_TAGS
        or "hidden" in element.attrib
        or bool(_HIDDEN.search(element.get("style", "")))
        or element.get("id", "") in _SIGNATURE_IDS
        or not _SIGNATURE_CLASSES.isdisjoint(element.get("class", "").split())
    )


def _is_quote(element: HtmlElement) -> bool:
    return element.tag == "blockquote" or not _QUOTE_CLASSES.isdisjoint(element.get("class", "").split())


def _mark(element: HtmlElement) -> None:
    """Put the marks on their own lines, as the first and the last child of the element."""
    element.tag = "div"
    first, last = Element("div"), Element("div")
    first.text, last.text = _OPEN, _CLOSE
    first.tail, element.text = element.text, None
    element.insert(0, first)
    element.append(last)


def _put_before(element: HtmlElement, line: str) -> None:
    divider = Element("div")
    divider.text = line
    element.addprevious(divider)


def _quote_lines(text: str) -> str:
    """Return the text with "> " before each line between the marks, and without the marks."""
    depth = 0
    lines: list[str] = []
    for line in text.split("\n"):
        depth += line.count(_OPEN)
        shown = _MARKS.sub("", line).strip()
        if shown or not (_OPEN in line or _CLOSE in line):
            lines.append(f"> {shown}" if depth > 0 else shown)
        depth -= line.count(_CLOSE)
    return "\n".join(lines)
