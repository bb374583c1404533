"""Fold text into the form that is compared with a site's words: keywords, command words and words of answers.

Folding leaves letters, digits and their marks: NFKC (full-width and circled letters become plain ones), case folded,
dotted and dotless i made one. Zero-width and bidirectional marks, symbols, emoji and U+FFFC go. Punctuation goes too,
except inside the words of `words_of` ("wasn't"). Letters of another script are not changed, and U+FFFD stays: nobody
knows which letter it replaces.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

__all__ = ["FoldedLine", "fold_line", "invisible_removed", "words_of"]

_LINE_CHARACTERS = 200
# Joiners, fillers and variation selectors are invisible, and not of category Cf.
_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
# NFKC would make letters and digits of these: keycaps, ™, ℠, and the squared and circled words of Japanese emoji.
# ℹ and Ⓜ are emoji only with the selector behind them.
_EMOJI_OF_LETTERS = re.compile(
    "[0-9#*]\ufe0f?\u20e3|[\u2139\u24c2]\ufe0f|[\u2120\u2122\u3297\u3299\U0001f200-\U0001f265]"
)
# Phones and keyboards write these for the apostrophe.
_APOSTROPHES = str.maketrans(dict.fromkeys("’‘´`ʼ", "'"))
_REPLACEMENT = "\ufffd"
_MARK_IN_LATIN_I = "i\u0307"
_SYMBOL = "\ufffc"
"""Stands for each symbol in folded text."""


@dataclass(frozen=True, slots=True)
class FoldedLine:
    """The letters of a line, without anything between them, and the places of what was between them.

    `gaps` are the numbers of letters before each place where something visible was removed, or a blank; `blanks` are
    the gaps that hold a blank. The beginning and the end of the line are no gaps.
    """

    letters: str
    gaps: frozenset[int]
    blanks: frozenset[int]

    def is_phrase(self, words: tuple[str, ...]) -> bool:
        """Return whether the line is these words of `words_of`: each unbroken by a blank, apart from the next."""
        letters, ends = _letters_and_ends(words)
        return bool(letters) and letters == self.letters and self.blanks <= ends <= self.gaps


def fold_line(line: str) -> FoldedLine:
    """Return the letters of a line, none for a line that is too long to be a keyword."""
    letters: list[str] = []
    gaps: set[int] = set()
    blanks: set[int] = set()
    for character in _folded(line):
        if character.isspace():
            blanks.add(len(letters))
        elif _is_removed(character):
            gaps.add(len(letters))
        else:
            letters.append(character)
    outside = {0, len(letters)}
    return FoldedLine("".join(letters), frozenset((gaps | blanks) - outside), frozenset(blanks - outside))


@lru_cache(maxsize=256)
def _letters_and_ends(words: tuple[str, ...]) -> tuple[str, frozenset[int]]:
    """Return the letters of a site's words, and the numbers of letters before each word but the first."""
    parts = [letters for word in words if (letters := fold_line(word).letters)]
    return "".join(parts), frozenset(accumulate(map(len, parts[:-1])))


def words_of(line: str) -> tuple[str, ...]:
    """Return the words of a line, folded; () for a line that is too long to be a keyword.

    Symbols separate words. Punctuation goes from both ends of a word, and stays inside it.
    """
    words = (_without_ends(part) for part in _folded(line).replace(_SYMBOL, " ").split())
    return tuple(word for word in words if word)


def invisible_removed(text: str) -> str:
    """Return the text without joiners, fillers and variation selectors."""
    return _INVISIBLE.sub("", text)


def _folded(line: str) -> str:
    """Return letters, digits, marks, punctuation and blanks, with `_SYMBOL` for each symbol."""
    if len(line) > _LINE_CHARACTERS:
        return ""
    visible = _INVISIBLE.sub("", _EMOJI_OF_LETTERS.sub(_SYMBOL, line)).translate(_APOSTROPHES)
    # Before NFKC: it makes a blank and a combining mark of "¨" and its like.
    visible = "".join(_SYMBOL if unicodedata.category(c) == "Sk" else c for c in visible)
    plain = _visible_only(unicodedata.normalize("NFKC", visible)).casefold()
    plain = unicodedata.normalize("NFKC", plain.replace("ı", "i").replace(_MARK_IN_LATIN_I, "i"))
    return "".join(_SYMBOL if _is_symbol(c) else c for c in _visible_only(plain))


def _visible_only(text: str) -> str:
    return _INVISIBLE.sub("", "".join(c for c in text if unicodedata.category(c) != "Cf"))


def _is_symbol(character: str) -> bool:
    category = unicodedata.category(character)
    # Emoji are added each year, and Python's tables are older than phones.
    new_emoji = category == "Cn" and "\U0001f000" <= character <= "\U0001faff"
    return new_emoji or (category[0] == "S" and character != _REPLACEMENT)


def _is_removed(character: str) -> bool:
    return unicodedata.category(character)[0] == "P" or _is_symbol(character)


def _without_ends(word: str) -> str:
    begin, end = 0, len(word)
    while begin < end and _is_removed(word[begin]):
        begin += 1
    while begin < end and _is_removed(word[end - 1]):
        end -= 1
    return word[begin:end]
