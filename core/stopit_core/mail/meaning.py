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
import unicodedata
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto

from stopit_core.mail.folding import words_of

__all__ = ["Meaning", "doubts", "meaning_of", "names_in", "says_not_me", "without_footer"]

_CHARACTERS = 1000
_SENTENCES = 8
_WRAPPED = 50  # characters: a line as long as this goes on in the next one
_NAMES = 8

_FOLD = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})
_APOSTROPHES = str.maketrans(dict.fromkeys("´`ʼ‘’′", "'"))
_SENTENCE_END = re.compile(r"([.!?…。！？]+)(?=\s|$)|\n")
_CLAUSE_END = re.compile(r"[,;，、]|\s[-–—]+\s|[–—]")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.casefold().translate(_FOLD).split())


def _phrases(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(each.split()) for each in text.casefold().translate(_FOLD).split(", "))


# -- the words. German ones are those of members.de.md's readers; ä, ö, ü are compared as ae, oe, ue.

_CALL_OFF = _words(
    "cancel cancelling canceling cancellation cancelation withdraw withdrawing withdrawal revoke retract rescind"
    " abort undo nevermind abbrechen abzubrechen abbruch abbreche stornieren storniere storno stornierung canceln"
    " zurückziehen zurückzuziehen zurücknehmen zurückzunehmen widerrufen widerrufe widerruf abblasen absagen"
    " annullieren rückgängig disregard"
)
_MAY_BE_MISSPELT = _words("cancel withdraw abbrechen stornieren storniere zurückziehen widerrufen")
_OTHER_WORDS = _words("cancer cancers cancels chancel withdraws")
"""Words that are one letter off, and no misspelling."""
_CALLED_OFF = _words(
    "cancelled canceled withdrawn revoked retracted stopped abgebrochen storniert zurückgezogen zurückgenommen"
)
"""These call off only with a wish: "I want it cancelled", but not "it was cancelled"."""
_CALL_OFF_APART = _phrases(
    "call off, take back, never mind, forget it, changed mind, ziehe zurück, ziehen zurück, brechen ab, breche ab,"
    " brich ab, nehme zurück, nehmen zurück, sagen ab, blasen ab, anders überlegt, scratch that, let be,"
    " vergessen es, vergiss es"
)
"""In this order, with other known words between them."""
_STOP = _words("stop stoppen stoppe stoppt anhalten ignore delete löschen ignorieren")
_STOPPED_THING = _words(
    "notice notification warning sending report request process versand benachrichtigung meldung hinweis"
)
"""The things that these must name: "please stop" alone may be meant for the sender of the mail."""

_SEND = _words("send sending senden schicken schickt schicke verschicken abschicken absenden versenden sende")
_SENT = _words("sent gesendet geschickt verschickt abgeschickt versendet")
_NOTICE = _words("notice notification warning nachricht benachrichtigung hinweis mitteilung verwarnung")
_NOT = _words(
    "not never no none nor neither without nicht nichts nie niemals kein keine keinen keiner keinesfalls ohne"
)
_WISH = _words("want like need please must should be bitte möchte will wollen soll muss möchten wünsche")

_COURTESY = _words(
    "please pls plz kindly thanks thank you thx ty cheers sorry apologies many much very so hi hello hey dear regards"
    " best kind greetings sincerely bitte danke dankeschön vielen dank hallo liebe lieber liebes sehr geehrte"
    " geehrtes grüße gruß lg mfg vg viele freundliche freundlichen beste mit team stopit all everyone damen herren"
    " und ok okay alright"
)
_BEFORE_NAME = _words(
    "hi hello hey dear thanks thx thank you regards cheers best sincerely hallo liebe lieber danke lg vg mfg grüße"
    " gruß against gegen"
)
_RECIPIENTS = _words("him her them ihm ihr ihn ihnen")
_BEFORE_RECIPIENT = _words("to for send sending an senden schicken")
_ASKING = _words(
    "i we you me my our us would like want wanted wish need must can could may do have decided decide to rather"
    " better hereby now immediately asap just really then after all yes ok okay well for how am still request get"
    " ich wir sie mir mich meine meinen mein unsere möchte möchten will wollen würde gern gerne kann können könnten"
    " könnte bitten um es jetzt sofort doch lieber noch zu habe haben hiermit nun werden wird ja ok wie man muss"
    " machen mache einfach das"
)
_THINGS = _words(
    "it this that the a an any anything everything notice notification notifications warning message mail email"
    " report flag flagging request complaint case process procedure thing from of sender about against to out go"
    " das dies dieses diese die der den dem es alles nachricht benachrichtigung hinweis mitteilung meldung mail email"
    " vorgang anfrage bericht beschwerde fall verfahren versand absender an von gegen sending"
)
_SECOND_THOUGHT = _words("actually oh oops on second thought thoughts")
_AROUND_NOTHING_SENT = _COURTESY | _ASKING | _THINGS | _SECOND_THOUGHT
_AROUND = _AROUND_NOTHING_SENT | _words("is possible too late")
_AROUND_SEND = _AROUND_NOTHING_SENT | _words(
    "yet anymore more longer mehr today tomorrow heute irgendetwas etwas make sure under circumstances"
)
_AROUND_NOTICE = _AROUND_NOTHING_SENT - _words("have habe haben get still")
_BEGINS = _words("please pls i we can could would you so bitte ich wir können könnten kann")
"""After "and" or a name, these begin something new."""

_NO = _words("no nope nah nein nee nö")
_NO_PHRASES = frozenset(
    _phrases(
        "do not, rather not, better not, i would rather not, not anymore, nicht, lieber nicht, doch nicht,"
        " besser nicht, nicht mehr"
    )
)
_YES = _words("yes yeah yep ja jawohl")
_AROUND_YES = _COURTESY | _words(
    "ok okay i am sure do agree of course definitely certainly absolutely want it this that the notice to be you may"
    " then now go ahead and ich bin sicher will möchte das es die nachricht sie natürlich klar gern gerne unbedingt"
)
_SURE_OBJECT = _words("it this that notice nachricht es das sie")

_CONDITION = _words(
    "if unless until when whether maybe perhaps might wenn falls ob vielleicht bis sobald sonst otherwise except"
)
_COURTEOUS_CONDITIONS = _phrases(
    "if possible, if you can, if you could, if it is possible, if that is possible, if still possible,"
    " if it is still possible, if it is not too late, if not too late, wenn möglich, falls möglich, wenn es geht,"
    " wenn es noch geht, falls es noch geht"
)
_SPEECH = _words("said says say told tells wrote writes asked asks sagt sagte meint meinte schrieb schreibt")
_BUT = _words(
    "but however though although except only unless wait aber jedoch allerdings nur außer ausser warte warten"
)
_AND = _words("and so because since und denn weil also deshalb")
_NEVER_NAMES = _words(
    "he she they his her him them who everybody nobody er ihm ihr wer man later soon yesterday tonight morgen gestern"
    " später"
)

_NEGATED = {"ca": "can", "wo": "will", "sha": "shall"}
_SHORT = {"'d": "would", "'m": "am", "'ve": "have", "'ll": "will", "'s": "is", "'re": "are"}
_RUN_TOGETHER = {
    **{f"{verb}nt": (verb, "not") for verb in ("do", "did", "was", "is", "does", "have", "has", "would", "should")},
    "cant": ("can", "not"),
    "cannot": ("can", "not"),
    "wont": ("will", "not"),
    "im": ("i", "am"),
    "ive": ("i", "have"),
    "dontsend": ("do", "not", "send"),
    "nothanks": ("no", "thanks"),
    "notme": ("not", "me"),
}
_FOOTERS = _phrases(
    "sent from, sent with, sent via, get outlook, outlook for, gesendet von, gesendet mit, von meinem,"
    " diese nachricht wurde"
)

_ME = _words("me ich i")
_DID = _words("send sent write wrote written post geschickt gesendet geschrieben verschickt verfasst")
_HACKED = _words(
    "hacked stolen compromised abused misused hijacked phished breached gehackt gestohlen missbraucht kompromittiert"
)
_SOMEBODY = _words("somebody someone jemand")
_USES = _words("used uses has knows hat kennt benutzt verwendet genutzt stole")
_ACCOUNT = _words("account password mailbox konto passwort kennwort postfach zugang accounts login")
_AROUND_NOT_ME = (
    _COURTESY
    | _words(
        "it this that those these was were is are has been have got must by else my our own the a message mail mails"
        " email emails from definitely really certainly ever you i we and or any such to him her them account"
        " password mailbox login no of mine sure am think das dies diese war waren wurde worden ist von mir mein"
        " meine meinem unser anderes anderer anders jemand somebody someone die den nachricht nachrichten konto"
        " passwort kennwort postfach wirklich sicher bestimmt nein es ihm ihr"
    )
    | _USES
)

_KNOWN = _AROUND_SEND | _CALL_OFF | _CALLED_OFF | _SEND | _SENT | _NOT | _NO | _YES | _STOP | _AROUND_NOT_ME | _HACKED
_KNOWN |= _CONDITION | _BUT | _AND | _SPEECH | _WISH | _DID


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


@dataclass(frozen=True, slots=True)
class _Sentence:
    clauses: tuple[tuple[str, ...], ...]
    question: bool


def meaning_of(text: str, names: Collection[str] = ()) -> Meaning:
    """Return the meaning of a typed text. `names` are words that may stand around it (see `names_in`)."""
    sentences = _sentences(text)
    senses = [_senses(sentence, names) for sentence in sentences]
    said = [sense for found in senses for sense in found]
    if _Sense.GO_ON not in said and _calls_off(sentences, senses):
        return Meaning.CALL_OFF
    was_read_whole = len(text) <= _CHARACTERS and len(sentences) < _SENTENCES
    if was_read_whole and not any(sentence.question for sentence in sentences):
        clauses = [clause for sentence in sentences for clause in sentence.clauses]
        agreeing = [clause for clause in clauses if _agrees(clause, names)]
        if agreeing and all(clause in agreeing or _is_idle(clause, names) for clause in clauses):
            return Meaning.AGREE
    return Meaning.UNCLEAR


def doubts(text: str) -> bool:
    """Return whether a sentence of the text, after another, takes it back: "But wait", "No", "Do not"."""
    begins = [sentence.clauses[0][:2] for sentence in _sentences(text) if sentence.clauses and sentence.clauses[0]]
    takes_back = _BUT | _NO | _NOT | _words("actually stop hold")
    return any(begin[0] in takes_back or begin == ("do", "not") for begin in begins)


def says_not_me(text: str) -> bool:
    """Return whether the text says that somebody else wrote the mail or uses the account."""
    return any(
        _denies(clause)
        for sentence in _sentences(text)
        if not sentence.question and not any(_CONDITION.intersection(clause) for clause in sentence.clauses)
        for clause in sentence.clauses
    )


def names_in(sender: str) -> frozenset[str]:
    """Return the words of a From field that can be names of its author."""
    plain = re.sub(r"[^\w'-]+|_", " ", sender[:150].rpartition("@")[0] or sender[:150])
    words = [word for word in _fold(words_of(plain)) if word not in _KNOWN]
    return frozenset(words[:_NAMES])


def without_footer(text: str) -> str:
    """Return the text up to the footer that a client adds: "Sent from my phone"."""
    lines = text.split("\n")
    for at, line in enumerate(lines):
        begin = tuple(_fold(words_of(line[:_WRAPPED])))
        if any(begin[: len(footer)] == footer for footer in _FOOTERS):
            return "\n".join(lines[:at])
    return text


# -- from text to words


def _sentences(text: str) -> list[_Sentence]:
    """Return the first sentences, without the client's footer."""
    found: list[_Sentence] = []
    pieces = _SENTENCE_END.split(_unwrapped(without_footer(text[:_CHARACTERS])))
    for piece, end in zip(pieces[::2], [*pieces[1::2], ""], strict=True):
        clauses = [words for part in _CLAUSE_END.split(piece) for words in _split(_clause(part)) if words]
        clauses = _without_names_after(clauses)
        after = found[-1].clauses[-1] if found else ()
        if len(clauses) == 1 and _is_name_after(after, clauses[0]):
            continue
        if clauses and len(found) < _SENTENCES:
            found.append(_Sentence(tuple(clauses), not {"?", "？"}.isdisjoint(end or "")))
    return found


def _without_names_after(clauses: list[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the clauses without those that are the name after "Thanks,"."""
    return [each for at, each in enumerate(clauses) if not (at and _is_name_after(clauses[at - 1], each))]


def _is_name_after(before: tuple[str, ...], clause: tuple[str, ...]) -> bool:
    name = len(clause) <= 2 and all(_can_be_name(word) for word in clause)
    return name and bool(before) and before[-1] in _BEFORE_NAME and _COURTESY.issuperset(before)


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
    words = [full for word in _fold(words_of(plain)) for full in _in_full(word)]
    return tuple(_joined(words))


def _is_of_a_word(character: str) -> bool:
    return character.isalpha() or character in "'-" or unicodedata.category(character) in ("Mn", "Mc", "Cf")


def _fold(words: Iterable[str]) -> list[str]:
    return [word.translate(_FOLD) for word in words]


def _in_full(word: str) -> Iterator[str]:
    word = word.strip("-'")
    if word in _RUN_TOGETHER:
        yield from _RUN_TOGETHER[word]
    elif word.endswith("n't"):
        yield from (_NEGATED.get(word[:-3], word[:-3]), "not")
    elif "'" in word and word[(at := word.rindex("'")) :] in _SHORT:
        yield from (word[:at], _SHORT[word[at:]])
    elif "-" in word:
        together = word.replace("-", "")
        yield from [together] if together in _KNOWN else [part for part in word.split("-") if part]
    elif word.startswith("cancel") and word[6:] in _AROUND:
        yield from ("cancel", word[6:])
    elif word.endswith("cancel") and word[:-6] in _COURTESY:
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
        elif at + 1 < len(words) and words[at] + words[at + 1] in _MAY_BE_MISSPELT:
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
        if word in _BUT and at > begin:
            yield words[begin:at]
            begin = at
        elif word in _AND and at > begin and follows and follows[0] in _BEGINS:
            yield words[begin:at]
            begin = at + 1
    yield words[begin:]


# -- from words to senses


def _calls_off(sentences: list[_Sentence], senses: list[list[_Sense]]) -> bool:
    off = asked = False
    for sentence, found in zip(sentences, senses, strict=True):
        for clause, sense in zip(sentence.clauses, found, strict=True):
            if off and clause[0] in _BUT:
                return False
            if asked and (_NO | _NOT).issuperset(clause):  # "Cancel? No!"
                return False
            off = off or sense is _Sense.CALL_OFF
            asked = asked or (sentence.question and sense is _Sense.CALL_OFF)
    said = {sense for found in senses for sense in found}
    return off or (_Sense.NO in said and said <= {_Sense.NO, _Sense.IDLE})


def _senses(sentence: _Sentence, names: Collection[str]) -> list[_Sense]:
    """Return the senses of the clauses. Under a condition, and after "he said" or "do not", nothing is called off."""
    clauses = [_without_courteous_condition(clause) for clause in sentence.clauses]
    senses = [_sense(clause, names) for clause in clauses]
    conditional = any(_CONDITION.intersection(clause) for clause in clauses)
    left_open = any(_is_left_open(clause) for clause in clauses[:-1])
    if conditional or left_open:
        return [_Sense.UNKNOWN if sense in (_Sense.CALL_OFF, _Sense.NO) else sense for sense in senses]
    return senses


def _without_courteous_condition(clause: tuple[str, ...]) -> tuple[str, ...]:
    for phrase in sorted(_COURTEOUS_CONDITIONS, key=len, reverse=True):
        for at in range(len(clause) - len(phrase) + 1):
            if clause[at : at + len(phrase)] == phrase:
                return clause[:at] + clause[at + len(phrase) :]
    return clause


def _is_left_open(clause: tuple[str, ...]) -> bool:
    """Return whether the next clause completes this one: "do not, under any circumstances", "he told me"."""
    words = list(clause)
    while words and words[-1] in ("me", "us", "mir", "uns", "ever", "even", "please", "bitte"):
        words.pop()
    return len(words) > 1 and words[-1] in _SPEECH | _NOT - {"no"}


def _sense(clause: tuple[str, ...], names: Collection[str]) -> _Sense:
    if clause[:1] and clause[0] in _BUT | _AND:
        clause = clause[1:]
    clause = _without_recipient(_without_names(clause, names))
    if len(clause) > 1 and clause[0] in _NO | _YES and clause[1] in _COURTESY | {"i", "ich"}:
        rest = tuple(word for word in clause[1:] if word not in _COURTESY)
        clause = clause[1:] if rest else clause
    words = frozenset(clause)
    core = _core(clause)
    negated = bool(words & _NOT - core)
    if core:
        if negated:
            return _Sense.GO_ON
        wished = words & _WISH or not words & _CALLED_OFF & core
        around = _AROUND | _words("should be") if words & _CALLED_OFF else _AROUND
        return _Sense.CALL_OFF if wished and words - core <= around else _Sense.UNKNOWN
    if words & (_SEND | _SENT) or ("go" in words and "out" in words):
        if not negated:
            return _Sense.GO_ON if words - _SEND - _SENT <= _AROUND_YES | _AROUND else _Sense.UNKNOWN
        asked = words & _WISH if words & _SENT else not words & _words("me us mir uns")
        around = _AROUND_SEND | {"be", "is"} if words & _SENT else _AROUND_SEND
        return _Sense.CALL_OFF if asked and words - _SEND - _SENT - _NOT <= around else _Sense.UNKNOWN
    if ("go" in words and "ahead" in words) or "proceed" in words:
        return _Sense.UNKNOWN if negated else _Sense.GO_ON
    if negated and words & _NOTICE and words - _NOT <= _AROUND_NOTICE:
        return _Sense.CALL_OFF
    stripped = tuple(word for word in clause if word not in (_COURTESY | _SECOND_THOUGHT) - {"lieber"})
    if stripped in _NO_PHRASES or (stripped and _NO.issuperset(stripped)):
        return _Sense.NO
    return _Sense.IDLE if _is_idle(clause, names) else _Sense.UNKNOWN


def _core(clause: tuple[str, ...]) -> frozenset[str]:
    """Return the words that call off, without a look at those around them; empty if there are none."""
    found = {word for word in clause if word in _CALL_OFF or word in _CALLED_OFF or _is_misspelt(word)}
    for phrase in _CALL_OFF_APART:
        rest = iter(clause)
        if all(word in rest for word in phrase):
            found.update(phrase)
    if not _STOP.isdisjoint(clause) and not _STOPPED_THING.isdisjoint(clause):
        found.update(_STOP.intersection(clause))
    return frozenset(found)


def _is_misspelt(word: str) -> bool:
    if word in _OTHER_WORDS or word in _CALLED_OFF:
        return False
    return any(_is_one_letter_off(word, right) for right in _MAY_BE_MISSPELT)


def _is_one_letter_off(word: str, right: str) -> bool:
    """Return whether one letter is wrong, missing or too many, or two are swapped."""
    if abs(len(word) - len(right)) > 1:
        return False
    at = next((n for n, (a, b) in enumerate(zip(word, right, strict=False)) if a != b), min(len(word), len(right)))
    mine, other = word[at:], right[at:]
    swapped = mine[:2] == other[1::-1] and mine[2:] == other[2:]
    return mine[1:] == other[1:] or mine[1:] == other or mine == other[1:] or swapped


def _without_names(clause: tuple[str, ...], names: Collection[str]) -> tuple[str, ...]:
    """Return the clause without the author's names, and without at most two names after "Dear" or "Thanks"."""
    words = [word for word in clause if word not in names]
    for at, word in enumerate(words):
        if word not in _BEFORE_NAME:
            continue
        end = at + 1
        while end < len(words) and end - at <= 2 and _can_be_name(words[end]):
            end += 1
        if end == len(words) or words[end] in _BEGINS | _CALL_OFF or _is_misspelt(words[end]):
            return tuple(words[: at + 1] + words[end:])
    return tuple(words)


def _without_recipient(clause: tuple[str, ...]) -> tuple[str, ...]:
    """Return the clause without "to him" and the like; "him" elsewhere stays, and is no word of calling off."""
    kept = [
        word
        for before, word in zip(("", *clause), clause, strict=False)
        if not (word in _RECIPIENTS and before in _BEFORE_RECIPIENT)
    ]
    return tuple(kept)


def _can_be_name(word: str) -> bool:
    return word not in _KNOWN and word not in _NEVER_NAMES and not _is_misspelt(word)


def _is_idle(clause: tuple[str, ...], names: Collection[str]) -> bool:
    return _COURTESY.issuperset(_without_names(clause, names))


def _agrees(clause: tuple[str, ...], names: Collection[str]) -> bool:
    """Return whether a clause surely agrees: "yes", or "send" with what is sent, and nothing that is not known."""
    words = frozenset(_without_names(clause, names))
    sends = words & (_SEND | _SENT) and words & _SURE_OBJECT
    return bool((words & _YES or sends) and words - _YES - _SEND - _SENT <= _AROUND_YES)


def _denies(clause: tuple[str, ...]) -> bool:
    """Return whether a clause says that its author did not do it."""
    words = frozenset(clause)
    known = words - _NOT - _DID - _HACKED - _ME - _words("habe did") <= _AROUND_NOT_ME
    if not known:
        return False
    negated = bool(words & (_NOT - _NO))
    hacked = words & _HACKED and words & (_ACCOUNT | _words("mail email i ich"))
    used = words & _SOMEBODY and words & _USES and words & _ACCOUNT
    if hacked or used:
        return not negated
    not_by_me = words & _words("me mir ich mine") and words & _words("was is were war ist not nicht from")
    wrote = words & _DID and words & _words("did have never ich i we habe")
    return bool(negated and (not_by_me or (wrote and clause[0] != "you")))
