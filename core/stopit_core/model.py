"""The values of the design's vocabulary. They are frozen and validated when they are created.

Times are seconds since the epoch (UTC) as float. Addresses are canonical (see `addresses`) unless a name says
otherwise. Digests are keyed (see `identity.keys`), so without the key nobody can test a guess.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from struct import iter_unpack
from typing import NewType

import msgspec

__all__ = [
    "AnswerReport",
    "Assurance",
    "AuthResults",
    "Channel",
    "Command",
    "ContactReport",
    "Digest",
    "FlagReport",
    "Original",
    "Report",
    "Trace",
]

Digest = NewType("Digest", bytes)
"""A keyed digest: 16 bytes of a Message-ID, 8 of an address, 8 of a (sender, reporter) pair."""

ADDRESS_DIGEST_BYTES = 8
_ONE_DIGEST = f"{ADDRESS_DIGEST_BYTES}s"


class Assurance(IntEnum):
    """How surely a sender or reporter is known. Ordered: a higher value is surer."""

    UNVERIFIED = 0
    WEAK = 1
    VERIFIED = 2
    AUTHENTICATED = 3


class Command(StrEnum):
    """The command that the member gives with the keyword."""

    FLAG = "flag"
    RECORD = "record"
    URGENT = "urgent"


class Channel(StrEnum):
    """The way in which a flag arrived."""

    REPLY = "reply"
    HEADER = "header"
    REPORT_ADDRESS = "report-address"


class AuthResults(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """The results of this site's own Authentication-Results (RFC 8601) for one message. Domains are lower case."""

    dmarc_pass: bool = False
    dkim_domain: str = ""
    spf_domain: str = ""


class Trace(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """One pass of one message through this mail system. No body, no subject, no recipient in clear.

    `message` is the digest of the Message-ID and the key under which the trace is stored; it is not part of the
    encoded payload. `recipients` is the concatenation of the address digests, in no particular order. `login` and
    `mail_from` are as the MTA reported them; `header_from` is the address in From, "" unless there is exactly one.
    `own` marks a message that Stopit itself sent (its envelope sender carried a valid token).
    """

    message: Digest
    seen: float
    queue_id: str = ""
    login: str = ""
    mail_from: str = ""
    header_from: str = ""
    client: str = ""
    relay: bool = False
    bulk: bool = False
    own: bool = False
    recipient_count: int = 0
    recipients: bytes = b""
    auth_results: AuthResults = AuthResults()

    def received_by(self, address: Digest) -> bool:
        """Return whether the address with this digest was among the envelope recipients."""
        at = self.recipients.find(address)
        while at >= 0 and at % ADDRESS_DIGEST_BYTES:  # a match across the border of two digests
            at = self.recipients.find(address, at + 1)
        return at >= 0

    def recipient_digests(self) -> tuple[Digest, ...]:
        """Return the digests of the recipients as a tuple."""
        whole = len(self.recipients) // ADDRESS_DIGEST_BYTES * ADDRESS_DIGEST_BYTES
        return tuple([each for (each,) in iter_unpack(_ONE_DIGEST, self.recipients[:whole])])


class Original(msgspec.Struct, frozen=True, array_like=True):
    """The message that a flag names: the digest of its Message-ID.

    `message` is empty when the flag names no readable Message-ID. `ambiguous` is true when several Message-IDs stand
    where one is expected (two in one In-Reply-To).
    """

    message: Digest
    ambiguous: bool = False


class FlagReport(msgspec.Struct, frozen=True, tag="flag", tag_field="kind"):
    """One flag, as it is stored on the queue. `id` is derived from the flagging message, so a retry by the client
    gives the same id.

    `reporter` is the reporter's canonical address ("" if none could be determined), known at `reporter_assurance`.
    `withheld` is the number of deleted recipients. `observed` reports were made in `mode = "observe"`: nothing may be
    sent for them. `truncated` is true if the message was longer than the part that is read, so originals may be
    missing.
    """

    id: str
    at: float
    queue_id: str
    channel: Channel
    command: Command
    reporter: str
    reporter_assurance: Assurance
    originals: tuple[Original, ...]
    withheld: int = 0
    observed: bool = False
    truncated: bool = False


class AnswerReport(msgspec.Struct, frozen=True, tag="answer", tag_field="kind"):
    """A message to one of our reply addresses `report+TOKEN@` with a valid token.

    `ref` is the reference that the token seals: it names the outgoing message that is answered. `raw` is the start of
    the message, headers first (at most `wire.ANSWER_BYTES`). `author` is the canonical address of the submitter, ""
    when unauthenticated. `null_sender` marks MAIL FROM:<> (RFC 5321 section 4.5.5).
    """

    id: str
    at: float
    queue_id: str
    ref: str
    author: str
    null_sender: bool
    raw: bytes
    observed: bool = False


class ContactReport(msgspec.Struct, frozen=True, tag="contact", tag_field="kind"):
    """A message passed from a notified sender to the reporter, recognised by the digest of the watched pair."""

    id: str
    at: float
    queue_id: str
    pair: Digest


Report = FlagReport | AnswerReport | ContactReport
"""A report on the queue. Every kind has `id`, `at` and `queue_id`."""
