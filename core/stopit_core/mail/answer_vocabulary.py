"""The words that answers are read by, in English and German. Umlauts are compared as "ae", "oe" and "ue"."""

from __future__ import annotations

__all__ = [
    "ACCOUNT",
    "AND",
    "AROUND",
    "AROUND_NOTICE",
    "AROUND_NOT_ME",
    "AROUND_SEND",
    "AROUND_YES",
    "BEFORE_NAME",
    "BEFORE_RECIPIENT",
    "BEGINS",
    "BUT",
    "CALLED_OFF",
    "CALL_OFF",
    "CALL_OFF_APART",
    "CONDITION",
    "COURTEOUS_CONDITIONS",
    "COURTESY",
    "DID",
    "FOLD",
    "FOOTERS",
    "HACKED",
    "KNOWN",
    "MAY_BE_MISSPELT",
    "ME",
    "NEGATED",
    "NEVER_NAMES",
    "NO",
    "NOT",
    "NOTICE",
    "NO_PHRASES",
    "OTHER_WORDS",
    "RECIPIENTS",
    "RUN_TOGETHER",
    "SECOND_THOUGHT",
    "SEND",
    "SENT",
    "SHORT",
    "SOMEBODY",
    "SPEECH",
    "STOP",
    "STOPPED_THING",
    "SURE_OBJECT",
    "USES",
    "WISH",
    "YES",
    "word_set",
]

FOLD = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue"})


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text, folded as answers are."""
    return frozenset(text.casefold().translate(FOLD).split())


def _phrases(text: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(each.split()) for each in text.casefold().translate(FOLD).split(", "))


CALL_OFF = word_set(
    "cancel cancelling canceling cancellation cancelation withdraw withdrawing withdrawal revoke retract rescind"
    " abort undo nevermind abbrechen abzubrechen abbruch abbreche stornieren storniere storno stornierung canceln"
    " zurückziehen zurückzuziehen zurücknehmen zurückzunehmen widerrufen widerrufe widerruf abblasen absagen"
    " annullieren rückgängig disregard"
)
MAY_BE_MISSPELT = word_set("cancel withdraw abbrechen stornieren storniere zurückziehen widerrufen")
OTHER_WORDS = word_set("cancer cancers cancels chancel withdraws")
"""Words that are one letter off, and no misspelling."""
CALLED_OFF = word_set(
    "cancelled canceled withdrawn revoked retracted stopped abgebrochen storniert zurückgezogen zurückgenommen"
)
"""These call off only with a wish: "I want it cancelled", but not "it was cancelled"."""
CALL_OFF_APART = _phrases(
    "call off, take back, never mind, forget it, changed mind, ziehe zurück, ziehen zurück, brechen ab, breche ab,"
    " brich ab, nehme zurück, nehmen zurück, sagen ab, blasen ab, anders überlegt, scratch that, let be,"
    " vergessen es, vergiss es"
)
"""In this order, with other known words between them."""
STOP = word_set("stop stoppen stoppe stoppt anhalten ignore delete löschen ignorieren")
STOPPED_THING = word_set(
    "notice notification warning sending report request process versand benachrichtigung meldung hinweis"
)
"""The things that these must name: "please stop" alone may be meant for the sender of the mail."""

SEND = word_set("send sending senden schicken schickt schicke verschicken abschicken absenden versenden sende")
SENT = word_set("sent gesendet geschickt verschickt abgeschickt versendet")
NOTICE = word_set("notice notification warning nachricht benachrichtigung hinweis mitteilung verwarnung")
NOT = word_set(
    "not never no none nor neither without nicht nichts nie niemals kein keine keinen keiner keinesfalls ohne"
)
WISH = word_set("want like need please must should be bitte möchte will wollen soll muss möchten wünsche")

COURTESY = word_set(
    "please pls plz kindly thanks thank you thx ty cheers sorry apologies many much very so hi hello hey dear regards"
    " best kind greetings sincerely bitte danke dankeschön vielen dank hallo liebe lieber liebes sehr geehrte"
    " geehrtes grüße gruß lg mfg vg viele freundliche freundlichen beste mit team stopit all everyone damen herren"
    " und ok okay alright"
)
BEFORE_NAME = word_set(
    "hi hello hey dear thanks thx thank you regards cheers best sincerely hallo liebe lieber danke lg vg mfg grüße"
    " gruß against gegen"
)
RECIPIENTS = word_set("him her them ihm ihr ihn ihnen")
BEFORE_RECIPIENT = word_set("to for send sending an senden schicken")
ASKING = word_set(
    "i we you me my our us would like want wanted wish need must can could may do have decided decide to rather"
    " better hereby now immediately asap just really then after all yes ok okay well for how am still request get"
    " ich wir sie mir mich meine meinen mein unsere möchte möchten will wollen würde gern gerne kann können könnten"
    " könnte bitten um es jetzt sofort doch lieber noch zu habe haben hiermit nun werden wird ja ok wie man muss"
    " machen mache einfach das"
)
THINGS = word_set(
    "it this that the a an any anything everything notice notification notifications warning message mail email"
    " report flag flagging request complaint case process procedure thing from of sender about against to out go"
    " das dies dieses diese die der den dem es alles nachricht benachrichtigung hinweis mitteilung meldung mail email"
    " vorgang anfrage bericht beschwerde fall verfahren versand absender an von gegen sending"
)
SECOND_THOUGHT = word_set("actually oh oops on second thought thoughts")
AROUND_NOTHING_SENT = COURTESY | ASKING | THINGS | SECOND_THOUGHT
AROUND = AROUND_NOTHING_SENT | word_set("is possible too late")
AROUND_SEND = AROUND_NOTHING_SENT | word_set(
    "yet anymore more longer mehr today tomorrow heute irgendetwas etwas make sure under circumstances"
)
AROUND_NOTICE = AROUND_NOTHING_SENT - word_set("have habe haben get still")
BEGINS = word_set("please pls i we can could would you so bitte ich wir können könnten kann")
"""After "and" or a name, these begin something new."""

NO = word_set("no nope nah nein nee nö")
NO_PHRASES = frozenset(
    _phrases(
        "do not, rather not, better not, i would rather not, not anymore, nicht, lieber nicht, doch nicht,"
        " besser nicht, nicht mehr"
    )
)
YES = word_set("yes yeah yep ja jawohl")
AROUND_YES = COURTESY | word_set(
    "ok okay i am sure do agree of course definitely certainly absolutely want it this that the notice to be you may"
    " then now go ahead and ich bin sicher will möchte das es die nachricht sie natürlich klar gern gerne unbedingt"
)
SURE_OBJECT = word_set("it this that notice nachricht es das sie")

CONDITION = word_set(
    "if unless until when whether maybe perhaps might wenn falls ob vielleicht bis sobald sonst otherwise except"
)
COURTEOUS_CONDITIONS = _phrases(
    "if possible, if you can, if you could, if it is possible, if that is possible, if still possible,"
    " if it is still possible, if it is not too late, if not too late, wenn möglich, falls möglich, wenn es geht,"
    " wenn es noch geht, falls es noch geht"
)
SPEECH = word_set("said says say told tells wrote writes asked asks sagt sagte meint meinte schrieb schreibt")
BUT = word_set(
    "but however though although except only unless wait aber jedoch allerdings nur außer ausser warte warten"
)
AND = word_set("and so because since und denn weil also deshalb")
NEVER_NAMES = word_set(
    "he she they his her him them who everybody nobody er ihm ihr wer man later soon yesterday tonight morgen gestern"
    " später"
)

NEGATED = {"ca": "can", "wo": "will", "sha": "shall"}
SHORT = {"'d": "would", "'m": "am", "'ve": "have", "'ll": "will", "'s": "is", "'re": "are"}
RUN_TOGETHER = {
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
FOOTERS = _phrases(
    "sent from, sent with, sent via, get outlook, outlook for, gesendet von, gesendet mit, von meinem,"
    " diese nachricht wurde"
)

ME = word_set("me ich i")
DID = word_set("send sent write wrote written post geschickt gesendet geschrieben verschickt verfasst")
HACKED = word_set(
    "hacked stolen compromised abused misused hijacked phished breached gehackt gestohlen missbraucht kompromittiert"
)
SOMEBODY = word_set("somebody someone jemand")
USES = word_set("used uses has knows hat kennt benutzt verwendet genutzt stole")
ACCOUNT = word_set("account password mailbox konto passwort kennwort postfach zugang accounts login")
AROUND_NOT_ME = (
    COURTESY
    | word_set(
        "it this that those these was were is are has been have got must by else my our own the a message mail mails"
        " email emails from definitely really certainly ever you i we and or any such to him her them account"
        " password mailbox login no of mine sure am think das dies diese war waren wurde worden ist von mir mein"
        " meine meinem unser anderes anderer anders jemand somebody someone die den nachricht nachrichten konto"
        " passwort kennwort postfach wirklich sicher bestimmt nein es ihm ihr"
    )
    | USES
)

KNOWN = AROUND_SEND | CALL_OFF | CALLED_OFF | SEND | SENT | NOT | NO | YES | STOP | AROUND_NOT_ME | HACKED
KNOWN |= CONDITION | BUT | AND | SPEECH | WISH | DID
