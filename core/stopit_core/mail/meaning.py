"""Read the meaning of an answer: whether it calls off, agrees, or says "not me". Pure, and bounded in its input.

The grammar is small. A text has sentences, a sentence has clauses, and a clause is a set of words in the form of
`words_of`, with "don't" as "do not". A clause means something only if *each* of its words is known: a verb that calls
off ("cancel", also one letter off), and around it words of asking, courtesy, things and names. So "please cancel the
notice" calls off, and "cancel my meeting" means nothing here. "No" must be all that the text says.

Doubt ends the reading: a negated verb ("do not cancel"), "go ahead", a condition, a "but" after it. Agreement must be
surer than calling off, because a notice cannot be called back: each clause of the text must agree or be courtesy.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from enum import Enum, auto

from stopit_core.mail.answer_vocabulary import (
    ACCOUNT,
    AND,
    AROUND,
    AROUND_NOT_ME,
    AROUND_NOTICE,
    AROUND_SEND,
    AROUND_YES,
    BEFORE_NAME,
    BEFORE_RECIPIENT,
    BEGINS,
    BUT,
    CALL_OFF,
    CALL_OFF_APART,
    CALLED_OFF,
    CONDITION,
    COURTEOUS_CONDITIONS,
    COURTESY,
    DID,
    HACKED,
    KNOWN,
    ME,
    NO,
    NO_PHRASES,
    NOT,
    NOTICE,
    RECIPIENTS,
    SECOND_THOUGHT,
    SEND,
    SENT,
    SOMEBODY,
    SPEECH,
    STOP,
    STOPPED_THING,
    SURE_OBJECT,
    USES,
    WISH,
    YES,
    word_set,
)
from stopit_core.mail.clauses import (
    CHARACTERS,
    SENTENCES,
    Sentence,
    can_be_name,
    fold_words,
    is_misspelt,
    sentences_of,
)
from stopit_core.mail.folding import words_of

__all__ = ["Meaning", "doubts", "meaning_of", "names_in", "says_not_me"]

_NAMES = 8


class Meaning(Enum):
    """The meaning of a text, or of one clause."""

    CALL_OFF = auto()
    AGREE = auto()
    UNCLEAR = auto()


class _Sense(Enum):
    """The sense of a clause. GO_ON contradicts CALL_OFF; NO counts if nothing else is said; IDLE is courtesy."""

    CALL_OFF = auto()
    NO = auto()
    GO_ON = auto()
    IDLE = auto()
    UNKNOWN = auto()


def meaning_of(text: str, names: Collection[str] = ()) -> Meaning:
    """Return the meaning of a typed text. `names` are words that may stand around it (see `names_in`)."""
    sentences = sentences_of(text)
    senses = [_senses(sentence, names) for sentence in sentences]
    said = [sense for found in senses for sense in found]
    if _Sense.GO_ON not in said and _calls_off(sentences, senses):
        return Meaning.CALL_OFF
    was_read_whole = len(text) <= CHARACTERS and len(sentences) < SENTENCES
    if was_read_whole and not any(sentence.question for sentence in sentences):
        clauses = [clause for sentence in sentences for clause in sentence.clauses]
        agreeing = [clause for clause in clauses if _agrees(clause, names)]
        if agreeing and all(clause in agreeing or _is_idle(clause, names) for clause in clauses):
            return Meaning.AGREE
    return Meaning.UNCLEAR


def doubts(text: str) -> bool:
    """Return whether a sentence of the text, after another, takes it back: "But wait", "No", "Do not"."""
    begins = [sentence.clauses[0][:2] for sentence in sentences_of(text) if sentence.clauses and sentence.clauses[0]]
    takes_back = BUT | NO | NOT | word_set("actually stop hold")
    return any(begin[0] in takes_back or begin == ("do", "not") for begin in begins)


def says_not_me(text: str) -> bool:
    """Return whether the text says that somebody else wrote the mail or uses the account."""
    return any(
        _denies(clause)
        for sentence in sentences_of(text)
        if not sentence.question and not any(CONDITION.intersection(clause) for clause in sentence.clauses)
        for clause in sentence.clauses
    )


def names_in(sender: str) -> frozenset[str]:
    """Return the words of a From field that can be names of its author."""
    plain = re.sub(r"[^\w'-]+|_", " ", sender[:150].rpartition("@")[0] or sender[:150])
    words = [word for word in fold_words(words_of(plain)) if word not in KNOWN]
    return frozenset(words[:_NAMES])


# -- from text to words


# -- from words to senses


def _calls_off(sentences: list[Sentence], senses: list[list[_Sense]]) -> bool:
    off = asked = False
    for sentence, found in zip(sentences, senses, strict=True):
        for clause, sense in zip(sentence.clauses, found, strict=True):
            if off and clause[0] in BUT:
                return False
            if asked and (NO | NOT).issuperset(clause):  # "Cancel? No!"
                return False
            off = off or sense is _Sense.CALL_OFF
            asked = asked or (sentence.question and sense is _Sense.CALL_OFF)
    said = {sense for found in senses for sense in found}
    return off or (_Sense.NO in said and said <= {_Sense.NO, _Sense.IDLE})


def _senses(sentence: Sentence, names: Collection[str]) -> list[_Sense]:
    """Return the senses of the clauses. Under a condition, and after "he said" or "do not", nothing is called off."""
    clauses = [_without_courteous_condition(clause) for clause in sentence.clauses]
    senses = [_sense(clause, names) for clause in clauses]
    conditional = any(CONDITION.intersection(clause) for clause in clauses)
    left_open = any(_is_left_open(clause) for clause in clauses[:-1])
    if conditional or left_open:
        return [_Sense.UNKNOWN if sense in (_Sense.CALL_OFF, _Sense.NO) else sense for sense in senses]
    return senses


def _without_courteous_condition(clause: tuple[str, ...]) -> tuple[str, ...]:
    for phrase in sorted(COURTEOUS_CONDITIONS, key=len, reverse=True):
        for at in range(len(clause) - len(phrase) + 1):
            if clause[at : at + len(phrase)] == phrase:
                return clause[:at] + clause[at + len(phrase) :]
    return clause


def _is_left_open(clause: tuple[str, ...]) -> bool:
    """Return whether the next clause completes this one: "do not, under any circumstances", "he told me"."""
    words = list(clause)
    while words and words[-1] in ("me", "us", "mir", "uns", "ever", "even", "please", "bitte"):
        words.pop()
    return len(words) > 1 and words[-1] in SPEECH | NOT - {"no"}


def _sense(clause: tuple[str, ...], names: Collection[str]) -> _Sense:
    if clause[:1] and clause[0] in BUT | AND:
        clause = clause[1:]
    clause = _without_recipient(_without_names(clause, names))
    if len(clause) > 1 and clause[0] in NO | YES and clause[1] in COURTESY | {"i", "ich"}:
        rest = tuple(word for word in clause[1:] if word not in COURTESY)
        clause = clause[1:] if rest else clause
    words = frozenset(clause)
    core = _core(clause)
    negated = bool(words & NOT - core)
    if core:
        if negated:
            return _Sense.GO_ON
        wished = words & WISH or not words & CALLED_OFF & core
        around = AROUND | word_set("should be") if words & CALLED_OFF else AROUND
        return _Sense.CALL_OFF if wished and words - core <= around else _Sense.UNKNOWN
    if words & (SEND | SENT) or ("go" in words and "out" in words):
        if not negated:
            return _Sense.GO_ON if words - SEND - SENT <= AROUND_YES | AROUND else _Sense.UNKNOWN
        asked = words & WISH if words & SENT else not words & word_set("me us mir uns")
        around = AROUND_SEND | {"be", "is"} if words & SENT else AROUND_SEND
        return _Sense.CALL_OFF if asked and words - SEND - SENT - NOT <= around else _Sense.UNKNOWN
    if ("go" in words and "ahead" in words) or "proceed" in words:
        return _Sense.UNKNOWN if negated else _Sense.GO_ON
    if negated and words & NOTICE and words - NOT <= AROUND_NOTICE:
        return _Sense.CALL_OFF
    stripped = tuple(word for word in clause if word not in (COURTESY | SECOND_THOUGHT) - {"lieber"})
    if stripped in NO_PHRASES or (stripped and NO.issuperset(stripped)):
        return _Sense.NO
    return _Sense.IDLE if _is_idle(clause, names) else _Sense.UNKNOWN


def _core(clause: tuple[str, ...]) -> frozenset[str]:
    """Return the words that call off, without a look at those around them; empty if there are none."""
    found = {word for word in clause if word in CALL_OFF or word in CALLED_OFF or is_misspelt(word)}
    for phrase in CALL_OFF_APART:
        rest = iter(clause)
        if all(word in rest for word in phrase):
            found.update(phrase)
    if not STOP.isdisjoint(clause) and not STOPPED_THING.isdisjoint(clause):
        found.update(STOP.intersection(clause))
    return frozenset(found)


def _without_names(clause: tuple[str, ...], names: Collection[str]) -> tuple[str, ...]:
    """Return the clause without the author's names, and without at most two names after "Dear" or "Thanks"."""
    words = [word for word in clause if word not in names]
    for at, word in enumerate(words):
        if word not in BEFORE_NAME:
            continue
        end = at + 1
        while end < len(words) and end - at <= 2 and can_be_name(words[end]):
            end += 1
        if end == len(words) or words[end] in BEGINS | CALL_OFF or is_misspelt(words[end]):
            return tuple(words[: at + 1] + words[end:])
    return tuple(words)


def _without_recipient(clause: tuple[str, ...]) -> tuple[str, ...]:
    """Return the clause without "to him" and the like; "him" elsewhere stays, and is no word of calling off."""
    kept = [
        word
        for before, word in zip(("", *clause), clause, strict=False)
        if not (word in RECIPIENTS and before in BEFORE_RECIPIENT)
    ]
    return tuple(kept)


def _is_idle(clause: tuple[str, ...], names: Collection[str]) -> bool:
    return COURTESY.issuperset(_without_names(clause, names))


def _agrees(clause: tuple[str, ...], names: Collection[str]) -> bool:
    """Return whether a clause surely agrees: "yes", or "send" with what is sent, and nothing that is not known."""
    words = frozenset(_without_names(clause, names))
    sends = words & (SEND | SENT) and words & SURE_OBJECT
    return bool((words & YES or sends) and words - YES - SEND - SENT <= AROUND_YES)


def _denies(clause: tuple[str, ...]) -> bool:
    """Return whether a clause says that its author did not do it."""
    words = frozenset(clause)
    known = words - NOT - DID - HACKED - ME - word_set("habe did") <= AROUND_NOT_ME
    if not known:
        return False
    negated = bool(words & (NOT - NO))
    hacked = words & HACKED and words & (ACCOUNT | word_set("mail email i ich"))
    used = words & SOMEBODY and words & USES and words & ACCOUNT
    if hacked or used:
        return not negated
    not_by_me = words & word_set("me mir ich mine") and words & word_set("was is were war ist not nicht from")
    wrote = words & DID and words & word_set("did have never ich i we habe")
    return bool(negated and (not_by_me or (wrote and clause[0] != "you")))
