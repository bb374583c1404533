"""Messages as real clients write them: those of mallory, and the replies.

A `Style` is the way a client writes replies. A reply names its original in In-Reply-To and References (RFC 5322
section 3.6.4) and quotes it as that client does.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid, parsedate_to_datetime
from enum import Enum

__all__ = ["Style", "forward_attached", "message", "reply"]


class Style(Enum):
    """The way a client writes a reply."""

    TOP = "plain text above the quote, as most clients on a desk do"
    BOTTOM = "plain text below the quote, as old hands do"
    GMAIL = "text and HTML, the quote in a div of its own"
    HTML_ONLY = "HTML only, as some phones do"
    MOBILE = "plain text with a mobile footer, then the quote"


def message(
    author: str, to: Sequence[str], subject: str, text: str, *, cc: Sequence[str] = (), message_id: str = ""
) -> EmailMessage:
    """Return a message in plain text. For Bcc, name more recipients in the envelope (`Client.send`)."""
    made = EmailMessage()
    made["From"] = author
    made["To"] = ", ".join(to)
    if cc:
        made["Cc"] = ", ".join(cc)
    made["Subject"] = subject
    made["Date"] = format_datetime(datetime.now(UTC))
    made["Message-ID"] = message_id or make_msgid(domain=author.rpartition("@")[2])
    made.set_content(text)
    return made


def reply(
    to: EmailMessage, author: str, typed: str, style: Style = Style.TOP, recipients: Sequence[str] = ()
) -> EmailMessage:
    """Return the author's reply to a message, addressed to its From unless other recipients are given."""
    subject = str(to["Subject"] or "")
    answer = message(
        author,
        recipients or [str(to["Reply-To"] or to["From"])],
        subject if subject.lower().startswith("re:") else f"Re: {subject}",
        "",
    )
    identity = str(to["Message-ID"])
    answer["In-Reply-To"] = identity
    answer["References"] = " ".join([*str(to["References"] or "").split(), identity])
    body = to.get_body(("plain",))
    quoted = str(body.get_content()) if body is not None else ""
    sent = parsedate_to_datetime(str(to["Date"]))
    head = f"On {sent:%a, %d %b %Y at %H:%M}, {to['From']} wrote:"
    match style:
        case Style.TOP:
            answer.set_content(f"{typed}\n\n{_quote(head, quoted)}")
        case Style.BOTTOM:
            answer.set_content(f"{_quote(head, quoted)}\n{typed}\n")
        case Style.MOBILE:
            answer.set_content(f"{typed}\n\nSent from my telephone\n\n{_quote(head, quoted)}")
        case Style.GMAIL:
            answer.set_content(f"{typed}\n\n{_quote(head, quoted)}")
            answer.add_alternative(_gmail(head, typed, quoted), subtype="html")
        case Style.HTML_ONLY:
            answer.set_content(_gmail(head, typed, quoted), subtype="html")
    return answer


def forward_attached(originals: Sequence[EmailMessage], author: str, to: str, text: str = "") -> EmailMessage:
    """Return a message with these messages attached as message/rfc822."""
    forward = message(author, [to], "Fwd: please look at this", text or "See attached.")
    for original in originals:
        forward.add_attachment(original)
    return forward


def _quote(head: str, text: str) -> str:
    lines = "\n".join(f"> {line}" for line in text.splitlines())
    return f"{head}\n{lines}\n"


def _gmail(head: str, typed: str, quoted: str) -> str:
    return (
        f'<div dir="ltr">{html.escape(typed)}</div><br><div class="gmail_quote">'
        f'<div dir="ltr" class="gmail_attr">{html.escape(head)}<br></div>'
        f'<blockquote class="gmail_quote" style="margin:0 0 0 .8ex">{html.escape(quoted)}</blockquote></div>\n'
    )
