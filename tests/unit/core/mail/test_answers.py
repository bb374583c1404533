"""Answers to our own messages: words of people, bounces, and automatic answers."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stopit_core.config import FlagWords
from stopit_core.mail.answers import TEXT_CHARACTERS, Answer, AnswerKind, BounceFacts, read_answer

WORDS = FlagWords()


def answer(text: str, *, headers: str = "Subject: Re: Your report\n", null_sender: bool = False) -> Answer:
    return read_answer(f"{headers}\n{text}".encode(), null_sender, WORDS)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("cancel", AnswerKind.CANCEL),
        ("Cancel.\n\nSent from my iPhone\n", AnswerKind.CANCEL),
        (
            "CANCEL\n\nOn Mon, Oct 12, 2026 at 9:58 AM Stopit <stopit@example.edu> wrote:\n> Answer cancel.\n",
            AnswerKind.CANCEL,
        ),
        ("> Answer cancel.\n\ncancel\n", AnswerKind.CANCEL),
        ("cancel🙏🏽", AnswerKind.CANCEL),
        ("CANCEL 🛑!!", AnswerKind.CANCEL),
        ("Thanks\ncancel", AnswerKind.CANCEL),
        ("> cancel\n", AnswerKind.OTHER),
        ("yes", AnswerKind.YES),
        ("Yes!", AnswerKind.YES),
        ("yes but", AnswerKind.OTHER),
        ("not me", AnswerKind.NOT_ME),
        (
            "This was not me, somebody has my password and I have no idea since when, " + "really " * 40,
            AnswerKind.NOT_ME,
        ),
        ("It wasn't me", AnswerKind.NOT_ME),
        ("It wasn\u2019t me", AnswerKind.NOT_ME),
        ("It wasn\u00b4t me", AnswerKind.NOT_ME),
        ("not mean at all", AnswerKind.OTHER),
        ("Was that not me?", AnswerKind.OTHER),
        ("", AnswerKind.OTHER),
    ],
)
def test_words(text: str, kind: AnswerKind) -> None:
    found = answer(text)

    assert found.kind is kind
    assert found.bounce is None


CALLS_OFF = """
cancel please
please cancel
Please cancel it.
please cancel the notice
Please cancel the notice, thanks!
cancel, thanks
cancel pls
cancel it
cancel this
cancel that please
I want to cancel this
I'd like to cancel my report
I would like to cancel the notice please
can you cancel that?
Could you please cancel it
can I still cancel?
how do I cancel?
Please cancel if possible
please cancel it if it's not too late
Hi, please cancel.
Dear Stopit team, please cancel the notice.
Hello Anna please cancel it
Please cancel. Best regards, Jonas
Sorry, please cancel!
I have decided to cancel
I am cancelling it
I want it cancelled
please have it cancelled
I want the notice to be withdrawn
I request cancellation
cancle
cansel
cancell
canel
canceel
CANCEL!!!
*cancel*
"cancel"
can cel
c a n c e l
C.A.N.C.E.L
can-cel
cancel-it
cancelit
please, please cancel
cancel \U0001f64f
\U0001f6d1 cancel \U0001f6d1
cancel\U0001f44d
I talked to him and it is fine now, so please cancel it
I don't want trouble, please cancel it
I know it is late but please cancel the notice
It was all a misunderstanding. Please cancel the notice.
no
No.
no thanks
No, thank you!
nope
please don't
don't send it
dont send it
don\u00b4t send it
do not send
Please do not send the notice
please don't send anything
don't send it yet
I don't want the notice to be sent
I don't want a notice
no notice please
stop the notice
please stop sending it
call it off
Call the notice off please
please call off the notice
never mind
nevermind
Never mind, thanks
I changed my mind
I've changed my mind, sorry
withdraw
I want to withdraw my report
withdrawl my report
forget it
take it back please
yes, cancel it
abbrechen
bitte abbrechen
Bitte brechen Sie das ab
nein
Nein danke
nein, bitte nicht
nicht senden
bitte nicht senden
Bitte nicht verschicken!
Schicken Sie es bitte nicht
keine Nachricht bitte
doch nicht
lieber nicht
stornieren
bitte stornieren
stornieren Sie das bitte
Ich m\u00f6chte meine Meldung zur\u00fcckziehen
zur\u00fcckziehen
zurueckziehen
zur\u00fcckzihen
Ich ziehe meine Meldung zur\u00fcck
K\u00f6nnen Sie das bitte abbrechen?
Ich habe es mir anders \u00fcberlegt
Hallo, bitte abbrechen. Viele Gr\u00fc\u00dfe
bitte absagen
canceln
Bitte wenn m\u00f6glich abbrechen
He apologised, you can cancel it.
On second thoughts please cancel the notice.
Is it too late to cancel?
Oh no, cancel it
Please make sure it is not sent
please don't send the notice to him
Please do not send him anything
Please ignore my report
actually no
not anymore
Please cancel my complaint against Mallory
Bitte senden Sie die Nachricht nicht
Bitte vergessen Sie es
nichts senden
""".strip().split("\n")

CALLS_NOTHING_OFF = """
don't cancel
Please do not cancel
do not cancel it, go ahead
don't cancel it please
Never cancel it
Do not, please, cancel it
Please do not, under any circumstances, cancel it
Please don't go and cancel it
There is no need to cancel
I can't cancel my meeting
he cancelled the party
The lecture was cancelled
It was cancelled
Was it cancelled?
I cancelled my dinner because of him
I want to cancel my subscription
cancel my meeting
Should I cancel?
I might cancel later
If he writes again, cancel it
cancel it unless he apologises
Only cancel it if he stops
he told me to cancel it
He said I should cancel it
He told me: cancel it
he said, cancel it
I wanted to cancel but I will not
I wanted to cancel but changed my mind
Cancel it. But only if he does not know.
Cancel culture is what he writes about
I have cancer
cancer
No, he never called me.
No, send it
No, I am fine with it, go ahead
No question, send it
send it
go ahead
I did not send this
Why did you not send it?
He did not stop
please stop
stop it
stop him
Make him stop
I never mind his mails
I have no notice yet
I have not changed my mind
cancel or not
send it or cancel it
cancel it and send it
nicht abbrechen
bitte nicht stornieren
Nein, bitte senden
Er hat das Treffen abgesagt
Ich kann mein Treffen nicht absagen
Er sagt, ich soll es zur\u00fcckziehen
Wenn er sich entschuldigt, abbrechen
He also waits at the bus stop.
What does the notice say?
ok
thanks
\U0001f44d
\U0001f6d1
Cancel him
I don't want him to send me mail
Don't send me anything
please stop him from sending mails
No more mails please
do not send my name to him
Ich m\u00f6chte keine Nachricht von ihm
My boyfriend wants me to cancel it
Please don't call it off
I received no notice
Cancel? No!
Cancel? Never.
Cancelled
Is it cancelled?
It is not sent yet
I said no, he did not stop
Please do not stop the notice
I can't anymore
Please do not forget to send it
""".strip().split("\n")

AGREES = """
yes please
Yes, please!
yes, send it
Yes, please send it.
ok send it
okay, please send the notice
send it please
yes \U0001f44d
yes I am sure
yes of course
Yes, go ahead and send it
ja
Ja bitte
Ja, bitte senden Sie die Nachricht
Hi, yes please. Thanks, Jonas
""".strip().split("\n")

DOES_NOT_AGREE = """
yes but not now
yes?
send it?
can you send it?
yes, if he does not know
Yes, but wait until tomorrow
yes that was me
yes and no
yesterday
yes he did
ok
okay thanks
sure?
\U0001f44d
go ahead
yes please don't
send him to jail
he will send it
I did send it
I want to send it to my friend
should I send it
maybe yes
ja aber
ja?
ja, er war das
""".strip().split("\n")

DENIES = """
not me
That wasn't me
that was not me!
It isn't mine. That was definitely not me.
Hello, that wasn't me.
I didn't send this
I did not write that mail
I never sent that message
I have not sent this
My account was hacked
my account has been hacked
Sorry, my account was hacked
Someone hacked my account
somebody else used my account
someone has my password
my password was stolen
Das war ich nicht
Ich war das nicht
Das ist nicht von mir
Ich habe das nicht geschickt
Mein Konto wurde gehackt
Jemand anderes hat mein Konto benutzt
My email was hacked
I think my account was hacked
Ich habe nichts geschickt
""".strip().split("\n")

DOES_NOT_DENY = """
It was me
Was that not me?
my account was not hacked
I did not send this to hurt anybody
If my account was hacked, what then?
He is not like me
I did not know
not mean at all
Who says that?
Das war ich
Ich habe das geschickt
I was not hacked
I have not read it
You did not send it
""".strip().split("\n")


@pytest.mark.parametrize("text", CALLS_OFF)
def test_calls_off(text: str) -> None:
    assert answer(text).kind is AnswerKind.CANCEL


@pytest.mark.parametrize("text", CALLS_NOTHING_OFF)
def test_calls_nothing_off(text: str) -> None:
    assert answer(text).kind is not AnswerKind.CANCEL


@pytest.mark.parametrize("text", AGREES)
def test_agrees(text: str) -> None:
    assert answer(text).kind is AnswerKind.YES


@pytest.mark.parametrize(
    "text", DOES_NOT_AGREE + CALLS_OFF + [text for text in CALLS_NOTHING_OFF if "send it" not in text]
)
def test_does_not_agree(text: str) -> None:
    assert answer(text).kind is not AnswerKind.YES


@pytest.mark.parametrize("text", DENIES)
def test_says_that_it_was_somebody_else(text: str) -> None:
    found = answer(text)

    assert found.not_me
    assert found.kind is AnswerKind.NOT_ME


@pytest.mark.parametrize("text", DOES_NOT_DENY + CALLS_NOTHING_OFF[:32])
def test_does_not_say_that_it_was_somebody_else(text: str) -> None:
    assert not answer(text).not_me


def test_not_me_is_known_beside_a_cancel() -> None:
    found = answer("That wasn't me. Please cancel it.")

    assert (found.kind, found.not_me) == (AnswerKind.CANCEL, True)


@pytest.mark.parametrize(
    "text",
    [
        "Hi,\n\nplease cancel.\n\nThanks,\nVera Fischer\n",
        "Vera here.\nHe waits at the bus stop.\nPlease cancel the notice.\n",
        "I have thought about this for the whole of last night, and I would like to\ncancel the notice.\n",
        "no\n\nSent from my iPhone\n",
        "nein\n\nVon meinem iPhone gesendet\n",
        "cancel Vera",
        "Vera: please cancel",
        "no\n\nVera\n",
    ],
)
def test_calls_off_in_a_letter(text: str) -> None:
    found = answer(text, headers="From: Vera Fischer <vera.f@example.edu>\nSubject: Re: Your report\n")

    assert found.kind is AnswerKind.CANCEL


def test_calls_off_in_html_alone() -> None:
    html = "<html><body><div>Please <b>cancel</b> it.</div><blockquote>Answer cancel</blockquote></body></html>"

    assert answer(html, headers="Content-Type: text/html\nMIME-Version: 1.0\n").kind is AnswerKind.CANCEL


def test_a_quote_or_a_long_text_calls_nothing_off() -> None:
    assert answer("He follows me.\n> please cancel\n").kind is AnswerKind.OTHER
    assert answer("He follows me. " * 20 + "Please cancel it.").kind is AnswerKind.OTHER


def test_what_follows_a_yes_can_take_it_back() -> None:
    assert answer("yes\n\nBut please wait until tomorrow.").kind is AnswerKind.OTHER
    assert answer("yes\n\nNo, wait.").kind is AnswerKind.OTHER
    assert answer("yes\n\nplease cancel it").kind is AnswerKind.CANCEL
    assert answer("yes\n\nHe wrote again today.").kind is AnswerKind.YES


@pytest.mark.parametrize(
    ("text", "exact"),
    [
        ("Cancel.", True),
        ("cancel\n\nSent from my iPhone", True),
        ("yes", True),
        ("please cancel", False),
        ("cancel\n\nHe stands at my door.", False),
        ("not me", False),
    ],
)
def test_exact_is_a_word_of_the_site_and_nothing_more(text: str, exact: bool) -> None:
    assert answer(text).exact is exact


def test_a_site_may_have_words_of_its_own_or_none() -> None:
    own = FlagWords(cancel=("weg damit",), yes=(), not_me=())

    assert read_answer(b"\nWeg damit!\n", False, own).kind is AnswerKind.CANCEL
    assert read_answer(b"\nplease cancel\n", False, own).kind is AnswerKind.CANCEL
    assert read_answer(b"\nyes please\n", False, own).kind is AnswerKind.OTHER
    assert read_answer(b"\nI did not send this\n", False, own).kind is AnswerKind.OTHER
    assert read_answer(b"\nplease cancel\n", False, FlagWords(cancel=())).kind is AnswerKind.OTHER


BEFORE = st.sampled_from(
    ["", "Please, ", "Hi, ", "Hello Anna,\n\n", "Sorry, ", "Hallo, ", "\U0001f64f ", "Dear team, "]
)
AFTER = st.sampled_from(
    [
        "",
        "!",
        "!!",
        ".",
        " please",
        ", thanks",
        " \U0001f44d",
        " \u2764\ufe0f",
        "\n\nBest regards,\nVera",
        " :)",
        "\n-- \nVera",
    ]
)
CASE = st.sampled_from([str, str.upper, str.capitalize])


@given(BEFORE, st.sampled_from(CALLS_OFF[:12] + CALLS_OFF[30:44]), AFTER, CASE)
def test_courtesy_names_emoji_case_and_punctuation_change_nothing(
    before: str, words: str, after: str, case: Callable[[str], str]
) -> None:
    text = before + case(words) + after

    assert answer(text, headers="From: Vera <vera@example.edu>\n").kind is AnswerKind.CANCEL


@given(BEFORE, st.sampled_from(CALLS_NOTHING_OFF[:33]), AFTER, CASE)
def test_around_what_calls_nothing_off_they_change_nothing_either(
    before: str, words: str, after: str, case: Callable[[str], str]
) -> None:
    text = before + case(words) + after

    assert answer(text, headers="From: Vera <vera@example.edu>\n").kind is not AnswerKind.CANCEL


@given(
    st.lists(
        st.sampled_from(
            [
                "yes",
                "cancel",
                "not",
                "do",
                "no",
                "send",
                "it",
                "he",
                "if",
                "please",
                ".",
                ",",
                "?",
                "!",
                "-",
                "'",
                "\n",
                "but",
                "stop",
                "c",
            ]
        )
    )
)
def test_no_text_both_speaks_of_calling_off_and_agrees(words: list[str]) -> None:
    if answer("x " + " ".join(words)).kind is AnswerKind.YES:
        assert not {"cancel", "not", "no", "but", "if", "stop"} & set(words)


@given(st.text(max_size=3000))
def test_any_text_is_read(text: str) -> None:
    assert read_answer(b"\n" + text.encode("utf-8", "replace"), False, WORDS).kind in AnswerKind


@pytest.mark.parametrize(
    "piece", ["a ", "cancel ", "a.", "but ", "and please ", "c-", "n't ", "hi x ", "\n", "do not, "]
)
def test_a_long_text_is_read_quickly(piece: str) -> None:
    begin = time.process_time()
    answer(piece * 20_000)

    assert time.process_time() - begin < 2


def test_the_text_is_what_was_typed() -> None:
    found = answer("One.\x07\n\nTwo.\n> quoted\n-- \nVera\n")

    assert found == Answer(AnswerKind.OTHER, "One.\n\nTwo.")


def test_the_text_is_cut() -> None:
    assert len(answer("word " * 5000).text) <= TEXT_CHARACTERS


@pytest.mark.parametrize(
    "header", ["Auto-Submitted: auto-replied\n", "Precedence: bulk\n", "List-Id: <x.example.edu>\n"]
)
def test_a_program_cannot_cancel(header: str) -> None:
    assert answer("cancel", headers=header).kind is AnswerKind.AUTOMATIC


def test_a_null_sender_that_is_no_bounce_is_automatic() -> None:
    assert answer("I am on holiday", null_sender=True).kind is AnswerKind.AUTOMATIC


def dsn(action: str, status: str) -> bytes:
    """A delivery status notification in the form of Postfix (RFC 3464)."""
    return f"""From: MAILER-DAEMON@mx.example.edu (Mail Delivery System)
Subject: Delivery Status Notification
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b1"

--b1
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

This is the mail system at host mx.example.edu.

--b1
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.edu
Arrival-Date: Mon, 12 Oct 2026 10:00:00 +0200

Final-Recipient: rfc822; mallory@example.edu
Original-Recipient: rfc822;mallory@example.edu
Action: {action}
Status: {status}
Diagnostic-Code: X-Postfix; unknown user: "mallory"

--b1
Content-Type: message/rfc822

From: stopit@example.edu
Subject: A message from Example University

cancel
--b1--
""".encode()


def test_a_failed_delivery_is_permanent() -> None:
    found = read_answer(dsn("failed", "5.1.1"), True, WORDS)

    assert found.kind is AnswerKind.BOUNCE
    assert found.bounce == BounceFacts(permanent=True, status="5.1.1")


def test_a_bounce_is_known_without_a_null_sender() -> None:
    assert read_answer(dsn("failed", "5.1.1"), False, WORDS).kind is AnswerKind.BOUNCE


def test_an_mta_that_gave_up_is_not_permanent() -> None:
    found = read_answer(dsn("failed", "4.4.1"), True, WORDS)

    assert found.bounce == BounceFacts(permanent=False, status="4.4.1")


@pytest.mark.parametrize(("action", "status"), [("delayed", "4.4.1"), ("delivered", "2.0.0"), ("relayed", "2.0.0")])
def test_what_is_no_failure_is_automatic(action: str, status: str) -> None:
    found = read_answer(dsn(action, status), True, WORDS)

    assert found.kind is AnswerKind.AUTOMATIC
    assert found.bounce is None


def test_a_bounce_in_words() -> None:
    text = """This message was created automatically by mail delivery software.

A message that you sent could not be delivered to one or more of its
recipients. This is a permanent error. The following address(es) failed:

  mallory@example.net
    host mx.example.net [192.0.2.1]
    SMTP error from remote mail server after RCPT TO:<mallory@example.net>:
    550 5.7.1 rejected by policy
"""
    headers = "From: Mail Delivery System <Mailer-Daemon@mx.example.edu>\nX-Failed-Recipients: mallory@example.net\n"

    found = answer(text, headers=headers, null_sender=True)

    assert found.kind is AnswerKind.BOUNCE
    assert found.bounce == BounceFacts(permanent=True, status="5.7.1")


@given(st.binary(max_size=600), st.booleans())
def test_hostile_answers_never_raise(raw: bytes, null_sender: bool) -> None:
    found = read_answer(raw, null_sender, WORDS)

    assert len(found.text) <= TEXT_CHARACTERS


@given(st.binary(max_size=600))
def test_hostile_bounces_never_raise(raw: bytes) -> None:
    head = b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\n\n--b\n"

    found = read_answer(head + b"Content-Type: message/delivery-status\n\n" + raw, True, WORDS)

    assert found.kind in (AnswerKind.BOUNCE, AnswerKind.AUTOMATIC)
