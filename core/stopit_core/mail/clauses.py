"""Read a typed text as sentences, clauses and folded words, for `meaning`. Pure, and bounded in its input."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from stopit_core.mail.answer_vocabulary import (
    AND,
    AROUND,
    BEFORE_NAME,
    BEGINS,
    BUT,
    CALLED_OFF,
    COURTESY,
    FOLD,
    FOOTERS,
    KNOWN,
    MAY_BE_MISSPELT,
    NEGATED,
    NEVER_NAMES,
    OTHER_WORDS,
    RUN_TOGETHER,
    SHORT,
)
from stopit_core.mail.folding import words_of

__all__ = [
    "CHARACTERS",
    "SENTENCES",
    "Sentence",
    "can_be_name",
    "fold_words",
    "is_misspelt",
    "sentences_of",
    "without_footer",
]

CHARACTERS = 1000
SENTENCES = 8
_WRAPPED = 50  # characters: a line as long as this goes on in the next one
_APOSTROPHES = str.maketrans(dict.fromkeys("´`ʼ‘’′", "'"))
_SENTENCE_END = re.compile(r"([.!?…。！？]+)(?=\s|$)|\n")
_CLAUSE_END = re.compile(r"[,;，、]|\s[-–—]+\s|[–—]")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence. `clauses` are its words, in the form of `words_of`; `question`: it ends with a question mark."""

    clauses: tuple[tuple[str, ...], ...]
    question: bool


def sentences_of(text: str) -> list[Sentence]:
    """Return the first sentences, without the client's footer."""
    found: list[Sentence] = []
    pieces = _SENTENCE_END.split(_unwrapped(without_footer(text[:CHARACTERS])))
    for piece, end in zip(pieces[::2], [*pieces[1::2], ""], strict=True):
        clauses = [words for part in _CLAUSE_END.split(piece) for words in _split(_clause(part)) if words]
        clauses = _without_names_after(clauses)
        after = found[-1].clauses[-1] if found else ()
        if len(clauses) == 1 and _is_name_after(after, clauses[0]):
            continue
        if clauses and len(found) < SENTENCES:
            found.append(Sentence(tuple(clauses), not {"?", "？"}.isdisjoint(end or "")))
    return found


def _without_names_after(clauses: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the clauses without those that are the name after "Thanks,"."""
    return [each for at, each in enumerate(clauses) if not (at and _is_name_after(clauses[at - 1], each))]


def _is_name_after(before: tuple[str, ...], clause: tuple[str, ...]) -> bool:
    name = len(clause) <= 2 and all(can_be_name(word) for word in clause)
    return name and bool(before) and before[-1] in BEFORE_NAME and COURTESY.issuperset(before)


def _unwrapped(text: str) -> str:
    """Return the text with lines joined that a client has wrapped."""
    joined = ""
    for line in text.split("\n"):
        last = joined.rpartition("\n")[2]
        wrapped = len(last) >= _WRAPPED and line.strip()
        joined += (" " if wrapped else "\n") + line.strip()
    return joined


def _clause(part: str) -> tuple[str, ...]:
    """Return the words of a clause, in full: "don't" is "do not"; symbols, quotes and figures are left out."""
    plain = "".join(c if _is_of_a_word(c) else " " for c in part.translate(_APOSTROPHES))
    words = [full for word in fold_words(words_of(plain)) for full in _in_full(word)]
    return tuple(_joined(words))


def _is_of_a_word(character: str) -> bool:
    return character.isalpha() or character in "'-" or unicodedata.category(character) in ("Mn", "Mc", "Cf")


def fold_words(words: Iterable[str]) -> list[str]:
    return [word.translate(FOLD) for word in words]


def _in_full(word: str) -> Iterator[str]:
    word = word.strip("-'")
    if word in RUN_TOGETHER:
        yield from RUN_TOGETHER[word]
    elif word.endswith("n't"):
        yield from (NEGATED.get(word[:-3], word[:-3]), "not")
    elif "'" in word and word[(at := word.rindex("'")) :] in SHORT:
        yield from (word[:at], SHORT[word[at:]])
    elif "-" in word:
        together = word.replace("-", "")
        yield from [together] if together in KNOWN else [part for part in word.split("-") if part]
    elif word.startswith("cancel") and word[6:] in AROUND:
        yield from ("cancel", word[6:])
    elif word.endswith("cancel") and word[:-6] in COURTESY:
        yield from (word[:-6], "cancel")
    elif word:
        yield word


def _joined(words: list[str]) -> Iterator[str]:
    """Yield the words, with "c a n c e l" and "can cel" put together."""
    at = 0
    while at < len(words):
        end = at
        while end < len(words) and len(words[end]) == 1:
            end += 1
        if end - at > 2:
            yield from _in_full("".join(words[at:end]))
            at = end
        elif at + 1 < len(words) and words[at] + words[at + 1] in MAY_BE_MISSPELT:
            yield words[at] + words[at + 1]
            at += 2
        else:
            yield words[at]
            at += 1


def _split(words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the clauses that "but", or "and" before something new, divide. "But" stays: it contradicts."""
    begin = 0
    for at, word in enumerate(words):
        follows = words[at + 1 : at + 2]
        if word in BUT and at > begin:
            yield words[begin:at]
            begin = at
        elif word in AND and at > begin and follows and follows[0] in BEGINS:
            yield words[begin:at]
            begin = at + 1
    yield words[begin:]


def without_footer(text: str) -> str:
    """Return the text up to the footer that a client adds: "Sent from my phone"."""
    lines = text.split("\n")
    for at, line in enumerate(lines):
        begin = tuple(fold_words(words_of(line[:_WRAPPED])))
        if any(begin[: len(footer)] == footer for footer in FOOTERS):
            return "\n".join(lines[:at])
    return text


def can_be_name(word: str) -> bool:
    """Return whether a word can be a name: it is no word that the grammar knows."""
    return word not in KNOWN and word not in NEVER_NAMES and not is_misspelt(word)


def is_misspelt(word: str) -> bool:
    """Return whether a word is one letter off a word that calls off."""
    if word in OTHER_WORDS or word in CALLED_OFF:
        return False
    return any(_is_one_letter_off(word, right) for right in MAY_BE_MISSPELT)


def _is_one_letter_off(word: str, right: str) -> bool:
    """Return whether one letter is wrong, missing or too many, or two are swapped."""
    if abs(len(word) - len(right)) > 1:
        return False
    at = next((n for n, (a, b) in enumerate(zip(word, right, strict=False)) if a != b), min(len(word), len(right)))
    mine, other = word[at:], right[at:]
    swapped = mine[:2] == other[1::-1] and mine[2:] == other[2:]
    return mine[1:] == other[1:] or mine[1:] == other or mine == other[1:] or swapped
