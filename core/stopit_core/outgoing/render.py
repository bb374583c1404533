"""Render facts to a message: Jinja2 for the text, and headers that no value can add to.

The headers are assembled here, line by line, and not by `email`: its folding has turned values into headers and
display names into recipients. Names in headers are plain words or encoded words (RFC 2047), never quoted strings;
subjects are constants of the templates. `leak_check` reads every message again before it is sent.

Automatic mail is marked as in RFC 3834: `auto-replied` for the answer to a message (the acknowledgement),
`auto-generated` for the rest. None has In-Reply-To or References: Stopit stores no Message-ID.
"""

from __future__ import annotations

import quopri
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from email.header import Header
from email.utils import format_datetime
from functools import lru_cache
from pathlib import Path

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from stopit_core.addresses import domain_of, is_address
from stopit_core.config import Campus, FlagWords, Office
from stopit_core.errors import ConfigError, Fault, Permanent
from stopit_core.identity.keys import Keyring
from stopit_core.outgoing.facts import (
    HEADER_NAMES,
    AcknowledgementFacts,
    AlertFacts,
    Facts,
    MessageKind,
    NoticeFacts,
    Outgoing,
)
from stopit_core.outgoing.format_flowed import clean, flow
from stopit_core.outgoing.samples import SAMPLE_AT, SAMPLE_OFFICE, SAMPLE_RECIPIENT, SAMPLE_REF, sample_facts
from stopit_core.outgoing.templates import SUBJECT, check_templates, environment, family

__all__ = ["Renderer"]

_SOON = 600.0  # seconds: a notice sent within this time is sent "within a few minutes"
_ROUND = 300  # seconds: the time of a notice is rounded down to five minutes
_DETAIL_LINES = 200
_CACHE_SIZE = 32
_PHRASE = re.compile(r"[A-Za-z0-9 ]{1,64}")  # before an address, where punctuation is special
_UNSTRUCTURED = re.compile(r"(?!.*=\?)[ -~]{1,66}")


@dataclass(frozen=True, slots=True)
class _OfficeWords:
    """An office, with the attributes that a template may use."""

    name: str
    address: str
    about: str


class Renderer:
    """Renders all messages of one site. Created by `load`; reads no file afterwards.

    `zone` is the site's time zone; None is that of the host.
    """

    def __init__(
        self,
        env: ImmutableSandboxedEnvironment,
        campus: Campus,
        words: FlagWords,
        offices: Sequence[Office],
        keyring: Keyring,
        zone: tzinfo | None = None,
    ) -> None:
        self._env = env
        self._keyring = keyring
        self._zone = zone
        # Acknowledgements name nobody, so one text is reused for all reports that were decided together in the same
        # way.
        self._to_reporters = lru_cache(_CACHE_SIZE)(lambda facts, at: self._parts(facts, "", at))
        self._report_address = campus.report_address
        self._campus_name = clean(campus.name)
        self._common: dict[str, object] = {
            "campus_name": self._campus_name,
            "report_address": campus.report_address,
            "policy_url": clean(campus.policy_url),
            "emergency": tuple(clean(line) for line in campus.emergency),
            "offices": tuple(_OfficeWords(clean(o.name), clean(o.address), clean(o.about)) for o in offices),
            "keyword": _first(words.keywords),
            "record_word": _first(words.record),
            "urgent_word": _first(words.urgent),
            "cancel_word": _first(words.cancel),
            "yes_word": _first(words.yes),
            "not_me_words": _first(words.not_me),
        }

    @classmethod
    def load(
        cls,
        campus: Campus,
        words: FlagWords,
        offices: Sequence[Office],
        keyring: Keyring,
        site: Path | None = None,
        zone: tzinfo | None = None,
    ) -> Renderer:
        """Read, compile and check all templates; those in `site` (notifier.templates) replace those that ship.

        Then render each of them once with sample facts, to find errors that occur only in use. Raises ConfigError
        with every fault, each with file and line.
        """
        env = environment(site)
        renderer = cls(env, campus, words, offices, keyring, zone)
        faults = check_templates(env, site, renderer.variables())
        if not faults:
            shown = campus.model_copy(update={"policy_url": campus.policy_url or "https://policy.invalid/"})
            faults = cls(env, shown, words, offices or [SAMPLE_OFFICE], keyring, zone)._check_samples()
        if faults:
            raise ConfigError(faults)
        return renderer

    def render(self, facts: Facts, *, recipient: str, ref: str, at: float) -> Outgoing:
        """Return the message with `facts` to `recipient` (one canonical address).

        `ref` is from `new_ref`; `at` (seconds since the epoch) is when it is sent: its Date. The same arguments give
        the same bytes. Raises Permanent if the recipient cannot be written in ASCII (RFC 6531 would be needed).
        """
        if not (recipient.isascii() and is_address(recipient)):
            raise Permanent("the recipient's address cannot stand in the headers of an ASCII message")
        if isinstance(facts, AcknowledgementFacts):
            subject, date, encoding, body = self._to_reporters(facts, at)
        else:
            subject, date, encoding, body = self._parts(facts, recipient, at)
        local, _, domain = self._report_address.rpartition("@")
        envelope_from = f"{local}+{self._keyring.token(ref)}@{domain}"
        message_id = f"stopit.{ref}@{domain_of(self._report_address)}"
        answered = facts.kind is MessageKind.ACKNOWLEDGEMENT
        values = (
            f"{_header_words(self._campus_name + ' Stopit', _PHRASE)} <{self._report_address}>",
            f"<{recipient}>",
            f"<{envelope_from}>",
            subject,
            date,
            f"<{message_id}>",
            "auto-replied" if answered else "auto-generated",
            "All",
            "1.0",
            "text/plain; charset=utf-8; format=flowed",
            encoding,
        )
        head = "".join(f"{name}: {value}\r\n" for name, value in zip(HEADER_NAMES, values, strict=True))
        data = head.encode("ascii") + b"\r\n" + body
        return Outgoing(facts.kind, ref, message_id, envelope_from, recipient, data)

    def blank(self, facts: NoticeFacts, at: float) -> Outgoing:
        """Return the same notice to nobody about no case: the text of the templates alone. For `leak_check`."""
        nobody = NoticeFacts("0", facts.day, facts.firmer)
        return self.render(nobody, recipient="nobody@invalid", ref=SAMPLE_REF, at=at)

    def day(self, at: float) -> date:
        """Return the day of a time (seconds since the epoch) in the site's time zone, for `NoticeFacts.day`."""
        return self._local(at).date()

    def variables(self) -> dict[str, frozenset[str]]:
        """Return the variables that the templates of each family (see `templates.family`) may use."""
        names: dict[str, set[str]] = {}
        for facts in sample_facts():
            given = self._common | self._variables(facts, SAMPLE_RECIPIENT, SAMPLE_AT)
            names.setdefault(family(facts.template), set()).update(given)
        return {**{key: frozenset(found) for key, found in names.items()}, "": frozenset().union(*names.values())}

    def _local(self, at: float) -> datetime:
        return datetime.fromtimestamp(int(at), self._zone).astimezone(self._zone)

    def _parts(self, facts: Facts, recipient: str, at: float) -> tuple[str, str, str, bytes]:
        """Return subject and date in header form, the body's encoding, and the body."""
        subject, text = self._text(facts, recipient, at)
        encoding, body = _encoded(text)
        return _header_words(subject, _UNSTRUCTURED), format_datetime(self._local(at)), encoding, body

    def _text(self, facts: Facts, recipient: str, at: float) -> tuple[str, str]:
        """Return subject and flowed body."""
        variables = {**self._common, **self._variables(facts, recipient, at)}
        head, _, text = self._env.get_template(facts.template).render(variables).lstrip().partition("\n")
        return clean(head.removeprefix(SUBJECT)), flow(text)

    def _variables(self, facts: Facts, recipient: str, at: float) -> dict[str, object]:
        """Return the variables for a template of this family, in addition to the site's own. Flat, so that a check
        sees all."""
        case_number = clean(facts.case_number)
        match facts:
            case NoticeFacts(day=day):
                return {
                    "case_number": case_number,
                    "account": clean(recipient),
                    "iso_date": day.isoformat(),
                    "year": day.year,
                    "month": day.month,
                    "day": day.day,
                }
            case AcknowledgementFacts():
                return {
                    "case_number": case_number,
                    "reason": str(facts.reason),
                    "command": str(facts.command),
                    "single_recipient": facts.single_recipient,
                    "withheld": facts.withheld,
                    "truncated": facts.truncated,
                    "no_original": facts.no_original,
                    **self._when(facts.notice_at, at),
                }
            case AlertFacts():
                return {
                    "case_number": case_number,
                    "alert": str(facts.alert),
                    "command": str(facts.command),
                    "reason": str(facts.reason or ""),
                    "also": str(facts.also or ""),
                    "message": str(facts.message or ""),
                    "reporter": clean(facts.reporter),
                    "reporter_assurance": facts.reporter_assurance.name.lower(),
                    "sender": clean(facts.sender),
                    "sender_assurance": facts.sender_assurance.name.lower(),
                    "details": tuple(clean(line) for line in facts.details[:_DETAIL_LINES]),
                }

    def _when(self, notice_at: float | None, now: float) -> dict[str, object]:
        """Return when the notice is sent, for text that gives no exact time. `notice_in_days` is -1 if none is
        sent."""
        if notice_at is None:
            empty = dict.fromkeys(("notice_soon", "notice_time"), "")
            return {**empty, **dict.fromkeys(("notice_in_days", "year", "month", "day"), -1)}
        local = self._local(notice_at // _ROUND * _ROUND)
        return {
            "notice_soon": notice_at - now < _SOON,
            "notice_time": f"{local:%H:%M}",
            "notice_in_days": (local.date() - self.day(now)).days,
            "year": local.year,
            "month": local.month,
            "day": local.day,
        }

    def _check_samples(self) -> list[Fault]:
        """Return the faults that occur only when a template is used."""
        faults: dict[str, Fault] = {}
        for facts in sample_facts():
            try:
                self.render(facts, recipient=SAMPLE_RECIPIENT, ref=SAMPLE_REF, at=SAMPLE_AT)
            except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, RecursionError) as error:
                fault = Fault(_place(error, facts.template), "", "", f"cannot be rendered: {error}")
                faults.setdefault(str(fault), fault)
        return list(faults.values())


def _place(error: BaseException, template: str) -> str:
    """Return file and line of the template in which an error was raised (Jinja2 puts them in the traceback)."""
    place, frame = template, error.__traceback__
    while frame is not None:
        if frame.tb_frame.f_code.co_filename.endswith(".j2"):
            place = f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}"
        frame = frame.tb_next
    return place


def _first(words: Sequence[str]) -> str:
    return clean(words[0]) if words else ""


def _header_words(words: str, plain: re.Pattern[str]) -> str:
    """Return words in header form: unchanged if every character is harmless, else encoded (RFC 2047)."""
    return words if plain.fullmatch(words) else Header(words, "utf-8", maxlinelen=74).encode(linesep="\r\n")


def _encoded(text: str) -> tuple[str, bytes]:
    """Return Content-Transfer-Encoding and body with CRLF: 7bit if possible, else quoted-printable (RFC 2045), which
    passes every MTA unchanged and does not break DKIM signatures."""
    crlf = text.replace("\n", "\r\n").encode("utf-8")
    if crlf.isascii() and all(len(line) <= 200 for line in crlf.split(b"\r\n")):
        return "7bit", crlf
    lines = (quopri.encodestring(line.encode("utf-8"), quotetabs=False) for line in text.split("\n"))
    return "quoted-printable", b"\r\n".join(line.replace(b"\n", b"\r\n") for line in lines)
