"""Folding: what is removed, what stays, and that neither makes a keyword of other letters."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stopit_core.mail import fold_line, words_of

KEYWORD = ("stopit",)
URGENT = ("stopit", "urgent")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("stopit", ("stopit",)),
        ("  STOPIT!  ", ("stopit",)),
        ("ＳｔｏｐＩｔ　Record", ("stopit", "record")),
        ("st\u200bop\u2060it", ("stopit",)),
        ("„stopit“", ("stopit",)),
        ("stopit\ufe0f", ("stopit",)),
        ("ST\u041ePIT", ("st\u043epit",)),
        ("stop-it", ("stop-it",)),
        ("Straße", ("strasse",)),
        ("it wasn’t me", ("it", "wasn't", "me")),
        ("it wasn´t me", ("it", "wasn't", "me")),
        ("'cancel'", ("cancel",)),
        ("cancel🛑", ("cancel",)),
        ("yes👍🏽please", ("yes", "please")),
        ("İPTAL", ("iptal",)),
        ("...", ()),
        ("🙂", ()),
        ("", ()),
        ("stopit " * 100, ()),
    ],
)
def test_words(line: str, words: tuple[str, ...]) -> None:
    assert words_of(line) == words


@given(st.text(max_size=300))
@example("\u00a8")
@example("İ\u0307")
@example("ℹ\ufe0f")
def test_words_are_settled(line: str) -> None:
    words = words_of(line)

    assert all(word and not any(c.isspace() for c in word) for word in words)
    assert words_of(line) == words


@pytest.mark.parametrize(
    "line",
    [
        "stopit🛑",
        "Stopit\ufffc",
        "\ufffc stopit",
        "STOPİT",
        "STOPI\u0307T",
        "stopıt",
        "#stopit",
        "stopit/",
        "*stopit*",
        "~~stopit~~",
        "stopit™",
        "stopit 1\ufe0f\u20e3",
        "stopit ℹ\ufe0f",
        "stopit 👩🏽\u200d💻",
        "stopit 🇩🇪",
        "stopit \U0001fa77",
        "stopit´",
        "stopit \u00a8",
        "$ stopit",
        "stop-it",
        "s.t.o.p.i.t",
        "ⓢⓣⓞⓟⓘⓣ",
        "𝐬𝐭𝐨𝐩𝐢𝐭",
        "\u200f\u202bstopit\u202c",
        "\u2067stopit\u2069",
        "st\u00adopit",
    ],
)
def test_the_keyword_whatever_is_around_it(line: str) -> None:
    assert fold_line(line).is_phrase(KEYWORD)
    assert not fold_line(line).is_phrase(URGENT)


@pytest.mark.parametrize(
    "line",
    ["stopit, urgent!!", "stopit,urgent", "STOPİT—URGENT", "stopit 🛑 urgent 🛑", "stopit/urgent", "stop-it urgent"],
)
def test_the_keyword_with_a_command_word(line: str) -> None:
    assert fold_line(line).is_phrase(URGENT)
    assert not fold_line(line).is_phrase(KEYWORD)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "🛑",
        "stop it",
        "s t o p i t",
        "stopit please",
        "stopiturgent",
        "stopit\u200burgent",
        "st\u043epit",
        "stop\u0456t",
        "\u03c3topit",
        "stöpit",
        "stopit 1",
        "stopit\ufffd",
        "stopit \ufffd\ufffd\ufffd",
        "stopit" + chr(0xDCE9),  # an octet that is not UTF-8
        "st\ufffdpit",
        "tipots",
        "\u202etipots\u202c",
        "stopit" + " 🛑" * 200,
    ],
)
def test_what_is_neither(line: str) -> None:
    assert not fold_line(line).is_phrase(KEYWORD)
    assert not fold_line(line).is_phrase(URGENT)


def test_a_keyword_of_several_words_or_with_punctuation() -> None:
    assert fold_line("STOP-IT!").is_phrase(words_of("stop it"))
    assert fold_line("stop it").is_phrase(words_of("Stop it"))
    assert not fold_line("stopit").is_phrase(words_of("stop it"))
    assert fold_line("dont").is_phrase(words_of("don't"))
    assert fold_line("don’t").is_phrase(words_of("don't"))
    assert not fold_line("don t").is_phrase(words_of("don't"))
    assert not fold_line("!").is_phrase(())


REMOVED = st.characters(categories=("Cf", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "Sc", "Sk", "Sm", "So")).filter(
    # These have letters in them: "℀" is a/c, "㉑" is no symbol, "⒜" is (a).
    lambda c: (
        c != "\ufffd" and not any(unicodedata.category(each)[0] in "LNM" for each in unicodedata.normalize("NFKC", c))
    )
)
EMOJI = st.sampled_from(
    ["🛑", "👍🏽", "🇩🇪", "1\ufe0f\u20e3", "❤\ufe0f", "™", "\U0001fa77", "\ufffc", "\u200b", "\ufe0f", "🈲"]
)
DEBRIS = st.text(REMOVED, max_size=3) | EMOJI | st.just("")


@given(st.data())
def test_what_is_removed_leaves_a_keyword_exact(data: st.DataObject) -> None:
    around = st.lists(DEBRIS | st.sampled_from([" ", "\u00a0", "\t"]), max_size=4).map("".join)
    typed = [data.draw(st.sampled_from(forms)) for forms in ("sSｓ𝐬", "tTｔ", "oOｏ", "pPｐ", "iIıİｉ", "tTｔ")]
    between = [data.draw(DEBRIS) for _ in typed[1:]]
    keyword = typed[0] + "".join(map("".join, zip(between, typed[1:], strict=True)))
    line = data.draw(around) + keyword + data.draw(around)

    assert fold_line(line).is_phrase(KEYWORD)


@given(st.data())
def test_other_letters_are_no_keyword_whatever_is_removed(data: st.DataObject) -> None:
    kept = st.characters(categories=("Lu", "Ll", "Lo", "Lt", "Nd"), exclude_characters="\u3164\uffa0\u115f\u1160")
    letters = data.draw(st.text(kept | st.sampled_from("stopi"), min_size=1, max_size=8))
    settled = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", letters).casefold())
    line = "".join(letter + data.draw(DEBRIS) for letter in letters)

    exact = settled.replace("ı", "i").replace("i\u0307", "i") == "stopit"

    # "1" and what follows it may be a keycap, and that is an emoji.
    assert exact or "\u20e3" in line or not fold_line(line).is_phrase(KEYWORD)


@given(st.text(max_size=200))
def test_a_phrase_is_its_letters_in_order(line: str) -> None:
    folded = fold_line(line)

    assert not folded.is_phrase(KEYWORD) or folded.letters == "stopit"
    assert folded.blanks <= folded.gaps
