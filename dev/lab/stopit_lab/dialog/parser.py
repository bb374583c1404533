"""The parser of dialogs. Pure: text in, steps out.

A line at the margin is a sentence, and makes a step. Indented lines below it say more about it. Settings of the site
and its stores come before the first sentence. Every error names the line and what would be right there.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pydantic import BaseModel

from stopit_core.config import Settings
from stopit_lab.dialog import words
from stopit_lab.dialog.details import DetailError, read_check, read_sending
from stopit_lab.dialog.steps import (
    Check,
    CheckKind,
    Dialog,
    Forward,
    Get,
    GetNot,
    Grow,
    Item,
    Kind,
    NobodyMore,
    Reply,
    Send,
    SendAgain,
    SendFile,
    Sending,
    Settle,
    Step,
    Wait,
    Wanted,
)
from stopit_lab.site import Stores

__all__ = ["DialogError", "parse", "sentences"]

T = TypeVar("T")

_KINDS = (Kind.NOTICE, Kind.ACKNOWLEDGEMENT, Kind.ALERT, Kind.ANYTHING)
_SETTING = re.compile(r"(?P<section>[a-z_]+)\.(?P<key>[a-z_]+)\s*=")
_LABEL = re.compile(r'\s*([a-z_]+)="([^"]*)"\s*(?:,|$)')
_PARTS = re.compile(r'(?:[^,"]|"[^"]*")+')
_WITH = re.compile(r'(?P<what>.+?) with "(?P<word>[^"]+)"')


class DialogError(ValueError):
    """A dialog that cannot be read: where, what is wrong, and what would be right."""

    def __init__(self, name: str, line: int, problem: str) -> None:
        super().__init__(f"{name}, line {line}: {problem}")
        self.line = line


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    text: str
    indented: bool


def parse(text: str, name: str = "dialog") -> Dialog:
    """Return the dialog in this text. `name` stands in errors. Raises DialogError."""
    return _Parser(text, name).parse()


def sentences() -> tuple[str, ...]:
    """Return the forms of a sentence, as errors and the README write them."""
    return tuple(form.shown for form in _FORMS)


class _Parser:
    """One run over the lines of a dialog."""

    def __init__(self, text: str, name: str) -> None:
        self._text = text
        self._name = name
        self._lines = list(_lines(text))
        self._at = 0
        self._number = 0
        self._stores: tuple[Stores, ...] = ()
        self._values: dict[str, dict[str, Any]] = {}
        self._messages: set[str] = set()

    def parse(self) -> Dialog:
        steps: list[Step] = []
        while self._at < len(self._lines):
            line = self._next()
            if line.indented:
                raise self._error("an indented line belongs below a sentence; begin this one at the margin")
            if not steps and self._is_head(line.text):
                continue
            steps.append(self._sentence(line.text))
        if not steps:
            raise DialogError(self._name, 1, f"nothing happens; write a sentence such as: {_FORMS[0].shown}")
        stores = self._stores or (Stores.SQLITE,)
        return Dialog(self._name, self._text, stores, tuple(steps), self._values)

    def _next(self) -> _Line:
        line = self._lines[self._at]
        self._at += 1
        self._number = line.number
        for name in words.PLACEHOLDER.findall(line.text):
            self._right(self._check_placeholder, name)
        return line

    def _check_placeholder(self, name: str) -> None:
        reference, dot, _ = name.partition(".")
        if name == "case" or (dot and reference in self._messages):
            return
        try:
            words.address_name(name)
        except ValueError:
            known = ["case", *words.PEOPLE, *(f"{message}.Message-ID" for message in sorted(self._messages))]
            raise ValueError(f"nothing stands for {{{name}}}; {words.did_you_mean(name, known)}") from None

    def _details(self) -> Iterator[_Line]:
        while self._at < len(self._lines) and self._lines[self._at].indented:
            yield self._next()

    def _error(self, problem: str) -> DialogError:
        return DialogError(self._name, self._number, problem)

    def _right(self, read: Callable[..., T], *arguments: Any) -> T:
        """Return what `read` returns. What it raises becomes an error of this line."""
        try:
            return read(*arguments)
        except (ValueError, DetailError) as error:
            raise self._error(str(error)) from None

    # The head.

    def _is_head(self, text: str) -> bool:
        if text.startswith("stores:"):
            names = words.split_list(text.removeprefix("stores:"))
            unknown = [name for name in names if name not in list(Stores)]
            if unknown or not names:
                raise self._error(f"stores are sqlite and redis; write such as: stores: {', '.join(Stores)}")
            self._stores = tuple(Stores(name) for name in names)
            return True
        if found := _SETTING.match(text):
            self._setting(text, found["section"], found["key"])
            return True
        return False

    def _setting(self, text: str, section: str, key: str) -> None:
        sections = Settings.model_fields
        if section not in sections:
            raise self._error(f"the configuration has no section {section}; {words.did_you_mean(section, sections)}")
        annotation = sections[section].annotation
        keys = annotation.model_fields if isinstance(annotation, type) and issubclass(annotation, BaseModel) else {}
        if key not in keys:
            raise self._error(f"section {section} has no key {key}; {words.did_you_mean(key, keys)}")
        try:
            value = tomllib.loads(text)[section][key]
        except tomllib.TOMLDecodeError as error:
            raise self._error(f'not TOML ({error}); write such as: policy.single_recipient = "ask"') from None
        self._values.setdefault(section, {})[key] = value

    # Sentences.

    def _sentence(self, text: str) -> Step:
        for form in _FORMS:
            if found := form.pattern.fullmatch(text):
                return form.build(self, self._number, found.groupdict())
        shown = "\n".join(f"  {form.shown}" for form in _FORMS)
        raise self._error(f"not a sentence: {text}\nThe sentences are:\n{shown}")

    def _send(self, line: int, found: Mapping[str, str]) -> Step:
        author, to = self._author(found), self._to(found["to"])
        sending = self._sending(found)
        self._name_message(found["name"] or sending.called)
        return Send(line, author, to, sending if not found["name"] else replace(sending, called=found["name"]))

    def _send_file(self, line: int, found: Mapping[str, str]) -> Step:
        author, to = self._author(found), self._to(found["to"] or "")
        sending = self._sending(found)
        if sending.headers or sending.without or sending.text is not None:
            raise self._error("the file is sent as it is; headers and text are written in the file")
        stem = re.sub(r"[^a-z0-9-]+", "-", found["file"].rpartition("/")[2].rpartition(".")[0].lower())
        name = found["name"] or sending.called or stem
        self._name_message(name)
        return SendFile(line, author, found["file"], to, replace(sending, called=name))

    def _send_again(self, line: int, found: Mapping[str, str]) -> Step:
        return SendAgain(line, self._author(found), self._known(found["message"]), self._sending(found))

    def _reply(self, line: int, found: Mapping[str, str]) -> Step:
        author, message = self._author(found), self._known(found["message"])
        sending = self._sending(found)
        noun = "reply" if found["verb"] == "replies to" else "answer"
        self._name_by_noun(author, noun, sending.called)
        typed = _typed(found["typed"], sending)
        if not typed:
            raise self._error("nothing is typed; write it after the colon, or below as lines that begin with |")
        return Reply(line, author, message, noun, replace(sending, text=typed))

    def _forward(self, line: int, found: Mapping[str, str]) -> Step:
        author, to = self._author(found), self._to(found["to"])
        messages = tuple(self._known(part) for part in words.split_list(found["messages"]))
        sending = self._sending(found)
        self._name_by_noun(author, "forward", sending.called)
        return Forward(line, author, messages, to, replace(sending, text=_typed(found["typed"], sending)))

    def _get(self, line: int, found: Mapping[str, str]) -> Step:
        readers, wanted = self._readers(found["readers"]), self._wanted(found["wanted"])
        checks = _joined(self._right(read_check, detail.number, detail.text) for detail in self._details())
        for one in wanted:
            if one.kind is Kind.ANYTHING:
                raise DialogError(self._name, line, "name what is got, such as: mallory gets: notice")
            if one.kind is not Kind.MESSAGE:
                for reader in readers:
                    self._messages |= {f"the {one.kind}", f"{reader}'s {one.kind}"}
        return Get(line, readers, wanted, tuple(checks))

    def _get_not(self, line: int, found: Mapping[str, str]) -> Step:
        return GetNot(line, self._readers(found["readers"]), self._wanted(found["wanted"]))

    def _wait(self, line: int, found: Mapping[str, str]) -> Step:
        return Wait(line, float(found["seconds"]))

    def _grow(self, line: int, found: Mapping[str, str]) -> Step:
        labels: dict[str, str] = {}
        rest = found["labels"] or ""
        while rest:
            label = _LABEL.match(rest)
            if label is None:
                raise self._error('labels are written as {outcome="notice", reason="notice-due"}')
            labels[label[1]] = label[2]
            rest = rest[label.end() :]
        return Grow(line, found["metric"], labels, int(found["by"]))

    # Parts of a sentence.

    def _author(self, found: Mapping[str, str]) -> str:
        return self._person(found["who"], words.AUTHORS)

    def _person(self, name: str, known: tuple[str, ...]) -> str:
        if name not in known:
            raise self._error(f"nobody here is called {name}; {words.did_you_mean(name, known)}")
        return name

    def _readers(self, text: str) -> tuple[str, ...]:
        return tuple(self._person(name, words.READERS) for name in words.split_list(text))

    def _to(self, text: str) -> tuple[str, ...]:
        names = words.split_list(text)
        for name in names:
            self._right(words.address_name, name)
        return names

    def _known(self, text: str, *others: str) -> str:
        """Return a reference to a message that an earlier line has named. `others` are other words for the error."""
        message = self._right(words.reference, text)
        if message not in self._messages:
            near = words.did_you_mean(message, (*sorted(self._messages), *others))
            raise self._error(f"no line above names {message}; {near}")
        return message

    def _wanted(self, text: str) -> tuple[Wanted, ...]:
        return tuple(self._one_wanted(part.strip()) for part in _PARTS.findall(text))

    def _one_wanted(self, text: str) -> Wanted:
        found = _WITH.fullmatch(text)
        what, word = (found["what"], found["word"]) if found else (text, "")
        bare = re.sub(r"^(?:a|an|another) ", "", what)
        if bare.startswith("copy of "):
            return Wanted(Kind.COPY, self._known(bare.removeprefix("copy of ")), word)
        if bare in _KINDS:
            return Wanted(Kind(bare), word=word)
        return Wanted(Kind.MESSAGE, self._known(what, *_KINDS), word)

    def _sending(self, found: Mapping[str, str]) -> Sending:
        details = [(detail.number, detail.text) for detail in self._details()]
        try:
            return read_sending(details, outside=bool(found.get("outside")))
        except DetailError as error:
            raise DialogError(self._name, error.line or self._number, str(error)) from None

    def _name_message(self, name: str) -> None:
        if not name:
            return
        if name in words.NOUNS or name in words.READERS or name in list(Kind):
            raise self._error(f"{name} is a word of the language; call the message something else")
        self._right(words.reference, name)
        self._messages.add(name)

    def _name_by_noun(self, author: str, noun: str, name: str) -> None:
        self._messages |= {f"the {noun}", f"{author}'s {noun}"}
        self._name_message(name)


def _typed(sentence: str | None, sending: Sending) -> str | None:
    """Return what is typed: in the sentence, or in the lines below it."""
    return sentence if sending.text is None else sending.text


def _joined(checks: Iterable[Check]) -> list[Check]:
    """Return the checks with the lines of one text made one."""
    joined: list[Check] = []
    for check in checks:
        if joined and check.kind is joined[-1].kind is CheckKind.TEXT:
            text = "\n".join(item.words for one in (joined[-1], check) for item in one.items)
            joined[-1] = replace(joined[-1], items=(Item(text),))
        else:
            joined.append(check)
    return joined


def _lines(text: str) -> Iterator[_Line]:
    """Yield the lines that say something: no comments, no empty ones."""
    for number, line in enumerate(text.splitlines(), 1):
        bare = line.strip()
        if bare and not bare.startswith("#"):
            yield _Line(number, bare if not bare.startswith("|") else line.lstrip(), line[0].isspace())


@dataclass(frozen=True, slots=True)
class _Form:
    """One form of sentence. `shown` is how errors and the README write it."""

    shown: str
    pattern: re.Pattern[str]
    build: Callable[[_Parser, int, Mapping[str, str]], Step]


def _form(shown: str, pattern: str, build: Callable[[_Parser, int, Mapping[str, str]], Step]) -> _Form:
    return _Form(shown, re.compile(pattern), build)


_WHO = r"(?P<who>\S+)"
_OUTSIDE = r"(?P<outside> from outside)?"
_CALLED = r"(?:: (?P<name>\S+))?"

_FORMS = (
    _form(
        "PERSON sends the file FILE [from outside] [to LIST][: NAME]",
        rf"{_WHO} sends the file (?P<file>[^\s:]+){_OUTSIDE}(?: to (?P<to>[^:]+))?{_CALLED}",
        _Parser._send_file,
    ),
    _form(
        "PERSON sends MESSAGE again [from outside]",
        rf"{_WHO} sends (?P<message>.+) again{_OUTSIDE}",
        _Parser._send_again,
    ),
    _form(
        "PERSON sends [from outside] to LIST[: NAME]",
        rf"{_WHO} sends{_OUTSIDE} to (?P<to>[^:]+){_CALLED}",
        _Parser._send,
    ),
    _form(
        "PERSON replies to MESSAGE [from outside]: TEXT",
        rf"{_WHO} (?P<verb>replies to|answers) (?P<message>[^:]+?){_OUTSIDE}:(?: (?P<typed>.+))?",
        _Parser._reply,
    ),
    _form(
        "PERSON forwards MESSAGES [from outside] to LIST[: TEXT]",
        rf"{_WHO} forwards (?P<messages>[^:]+?){_OUTSIDE} to (?P<to>[^:]+)(?:: (?P<typed>.+))?",
        _Parser._forward,
    ),
    _form("nobody gets more", r"nobody gets more", lambda _, line, __: NobodyMore(line)),
    _form(
        "READERS does not get: WHAT",
        r"(?P<readers>.+?) (?:does|do) not get: (?P<wanted>.+)",
        _Parser._get_not,
    ),
    _form("READERS gets: WHAT", r"(?P<readers>.+?) gets?: (?P<wanted>.+)", _Parser._get),
    _form("all that is due is sent", r"all that is due is sent", lambda _, line, __: Settle(line)),
    _form("SECONDS s pass", r"(?P<seconds>\d+(?:\.\d+)?) s pass", _Parser._wait),
    _form(
        'METRIC{LABEL="VALUE"} grows by NUMBER',
        r"(?P<metric>stopit_\w+)(?:\{(?P<labels>.*)\})? grows by (?P<by>\d+)",
        _Parser._grow,
    ),
)
