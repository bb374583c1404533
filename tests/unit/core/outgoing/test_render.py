"""Rendered messages and their headers. tests/golden/README.md explains how to update the golden files."""

from __future__ import annotations

import os
import re
from datetime import UTC, date, datetime
from email import message_from_bytes, policy
from email.parser import BytesParser
from email.utils import getaddresses
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stopit_core.config import Campus, FlagWords, Office
from stopit_core.decision.policy import Outcome, Reason
from stopit_core.errors import ConfigError, Permanent
from stopit_core.identity.keys import Keyring, new_ref
from stopit_core.outgoing.facts import (
    HEADER_NAMES,
    AcknowledgementFacts,
    AlertFacts,
    AlertKind,
    AnswerEffect,
    Facts,
    MessageKind,
    NoticeFacts,
)
from stopit_core.outgoing.format_flowed import WIDTH
from stopit_core.outgoing.leak_check import check_message
from stopit_core.outgoing.render import Renderer
from stopit_core.outgoing.samples import (
    SAMPLE_AT,
    SAMPLE_RECIPIENT,
    SAMPLE_REF,
    acknowledgement,
    notice,
    sample_facts,
)
from stopit_core.outgoing.templates import environment, shipped_directory, template_names
from stopit_ctl.message_text import message_text, sample_text

TESTS = Path(__file__).parents[3]
GOLDEN = TESTS / "golden" / "messages"
BAD = TESTS / "bad_config" / "templates"
KEYRING = Keyring(b"k" * 32)
ZONE = ZoneInfo("Europe/Vienna")
CAMPUS = Campus(
    name="Example University",
    domains=("example.edu",),
    report_address="stopit@example.edu",
    staff_address="stopit-staff@example.edu",
    emergency=("In danger now? Call 112.", "Campus police: 555 0100, day and night."),
    policy_url="https://www.example.edu/stopit",
)
OFFICES = (
    Office(name="Ombuds Office", address="ombuds@example.edu", about="Confidential advice, for everyone."),
    Office(name="Dean on call", address="555 0199", about="When you need somebody tonight."),
)


def site(campus: Campus = CAMPUS, offices: tuple[Office, ...] = OFFICES, templates: Path | None = None) -> Renderer:
    return Renderer.load(campus, FlagWords(), offices, KEYRING, templates, ZONE)


RENDERER = site()


def rendered(facts: Facts, renderer: Renderer = RENDERER, recipient: str = SAMPLE_RECIPIENT) -> str:
    return message_text(renderer.render(facts, recipient=recipient, ref=SAMPLE_REF, at=SAMPLE_AT).data)


def flat(text: str) -> str:
    return " ".join(text.split())


def golden_name(facts: Facts) -> str:
    parts = [facts.template.removesuffix(".txt.j2")]
    if isinstance(facts, AlertFacts) and facts.reason:
        parts.append(str(facts.reason))
    if isinstance(facts, AcknowledgementFacts) and facts.single_recipient:
        parts.append("single-recipient")
    if isinstance(facts, AlertFacts) and facts.also:
        parts.append(str(facts.also))
    if isinstance(facts, AcknowledgementFacts) and facts.no_original and facts.reason is Reason.URGENT:
        parts.append("no-original")
    if isinstance(facts, AcknowledgementFacts) and facts.reason is AnswerEffect.DETAILS_KEPT and facts.notice_at:
        parts.append("pending")
    return "--".join(parts) + ".eml"


SAMPLES = {golden_name(facts): facts for facts in sample_facts()}


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_every_message_reads_as_its_golden_file(name: str) -> None:
    outgoing = RENDERER.render(SAMPLES[name], recipient=SAMPLE_RECIPIENT, ref=SAMPLE_REF, at=SAMPLE_AT)
    check_message(outgoing)
    text = outgoing.data.decode("ascii").replace("\r\n", "\n")
    path = GOLDEN / name
    if os.environ.get("STOPIT_WRITE_GOLDEN"):
        path.write_text(text, "ascii")
    assert text == path.read_text("ascii"), "if the new words are right: see tests/golden/README.md"


def test_no_golden_file_is_left_over() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == set(SAMPLES)


def test_every_template_is_used() -> None:
    used = {facts.template for facts in sample_facts()} | {"acknowledgement.txt.j2", "staff-alert.txt.j2"}
    assert used == {name for name in template_names() if not name.startswith("_")}


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_lines_are_short_and_there_is_no_gap(name: str) -> None:
    text = rendered(SAMPLES[name])
    assert max(len(line) for line in text.splitlines()) <= WIDTH
    assert "\n\n\n" not in text


class TestNotice:
    @pytest.mark.parametrize("firmer", [False, True])
    def test_safety_before_conduct_and_trust_last(self, firmer: bool) -> None:
        text = flat(rendered(notice(firmer=firmer)))
        assert text.index("Change your password") < text.index("The holder of an account answers")
        assert text.endswith("We trust that this will not happen again.")

    @pytest.mark.parametrize("firmer", [False, True])
    def test_accuses_and_threatens_nobody(self, firmer: bool) -> None:
        text = flat(rendered(notice(firmer=firmer))).casefold()
        for word in ("you sent", "you have sent", "harass", "offen", "sanction", "disciplin", "police", "victim"):
            assert word not in text

    @pytest.mark.parametrize("firmer", [False, True])
    def test_tells_the_day_and_not_the_hour(self, firmer: bool) -> None:
        text = rendered(notice(firmer=firmer)).partition("\n\n")[2]
        assert "2 November 2026" in flat(text)
        assert not re.search(r"\d:\d|o'clock|\b[ap]m\b", text)

    def test_two_reporters_make_the_same_notice(self) -> None:
        one, other = (
            RENDERER.render(NoticeFacts(case, date(2026, 11, 2)), recipient="m@example.edu", ref=ref, at=at)
            for case, ref, at in (("7KQ4-M2XD", new_ref(), SAMPLE_AT), ("9ABC-DEFG", new_ref(), SAMPLE_AT + 60))
        )

        def masked(outgoing, case: str) -> list[bytes]:
            data = outgoing.data
            for part in (outgoing.envelope_from, outgoing.message_id, case):
                data = data.replace(part.encode(), b"*")
            return [line for line in data.split(b"\r\n") if not line.startswith(b"Date: ")]

        assert masked(one, "7KQ4-M2XD") == masked(other, "9ABC-DEFG")

    def test_without_a_policy_page_no_sentence_hangs(self) -> None:
        text = rendered(notice(), site(CAMPUS.model_copy(update={"policy_url": ""})))
        assert "rules for the use" not in text


class TestAcknowledgement:
    @pytest.mark.parametrize("reason", [*Reason, *AnswerEffect])
    def test_danger_comes_first(self, reason: Reason | AnswerEffect) -> None:
        body = rendered(acknowledgement(reason)).partition("\n\n")[2]
        assert body.startswith("In danger now? Call 112.\nCampus police: 555 0100, day and night.\n\n")

    def test_does_not_reveal_the_other_report(self) -> None:
        assert rendered(acknowledgement(Reason.MUTUAL)) == rendered(acknowledgement(Reason.SENDER_CAP))

    @pytest.mark.parametrize("reason", [r for r in Reason if r.outcome is Outcome.NOTICE])
    def test_says_how_to_cancel(self, reason: Reason) -> None:
        assert "\n\ncancel\n\n" in rendered(acknowledgement(reason))

    def test_asks_for_the_yes(self) -> None:
        assert "\n\nyes\n\n" in rendered(acknowledgement(Reason.SINGLE_RECIPIENT_ASK))

    @pytest.mark.parametrize(
        ("notice_at", "words"),
        [
            (datetime(2026, 11, 3, 14, 9, tzinfo=UTC), "It leaves within a few minutes."),
            (datetime(2026, 11, 3, 14, 44, 59, tzinfo=UTC), "It leaves today at about 15:40."),
            (datetime(2026, 11, 3, 23, 2, tzinfo=UTC), "It leaves tomorrow at about 00:00."),
            (datetime(2026, 11, 9, 8, 30, tzinfo=UTC), "It leaves on 9 November 2026 at about 09:30."),
        ],
    )
    def test_tells_about_when(self, notice_at: datetime, words: str) -> None:
        facts = AcknowledgementFacts(Reason.NOTICE_DUE, "7KQ4-M2XD", notice_at=notice_at.timestamp())
        assert words in flat(rendered(facts))

    def test_a_waiting_notice_of_unknown_hour(self) -> None:
        text = flat(rendered(AcknowledgementFacts(Reason.NOTICE_PENDING, "7KQ4-M2XD")))
        assert "is already written. Your report joins" in text

    def test_withheld_and_truncated_are_said_only_when_so(self) -> None:
        bare = rendered(AcknowledgementFacts(Reason.NOTICE_DUE))
        full = rendered(AcknowledgementFacts(Reason.NOTICE_DUE, withheld=True, truncated=True))
        assert "kept back" not in bare
        assert "longer than" not in bare
        assert "kept back" in full
        assert "longer than" in full


class TestMessage:
    def test_head(self) -> None:
        outgoing = RENDERER.render(notice(), recipient="m@example.edu", ref=SAMPLE_REF, at=SAMPLE_AT)
        message = message_from_bytes(outgoing.data)
        assert tuple(message.keys()) == HEADER_NAMES
        assert message["Date"] == "Tue, 03 Nov 2026 15:05:00 +0100"
        assert message["Message-ID"] == f"<stopit.{SAMPLE_REF}@example.edu>" == f"<{outgoing.message_id}>"
        local = outgoing.envelope_from.removesuffix("@example.edu")
        assert KEYRING.open_token(local.removeprefix("stopit+")) == SAMPLE_REF

    @pytest.mark.parametrize(
        ("facts", "mark"),
        [(notice(), "auto-generated"), (acknowledgement(Reason.URGENT), "auto-replied")],
    )
    def test_marked_as_automatic(self, facts: Facts, mark: str) -> None:
        outgoing = RENDERER.render(facts, recipient="m@example.edu", ref=SAMPLE_REF, at=SAMPLE_AT)
        assert message_from_bytes(outgoing.data)["Auto-Submitted"] == mark

    def test_other_scripts_arrive_whole(self) -> None:
        campus = CAMPUS.model_copy(update={"name": "Universität für Bodenkultur, Wien"})
        renderer = site(campus)
        outgoing = renderer.render(notice(), recipient="m@example.edu", ref=SAMPLE_REF, at=SAMPLE_AT)
        check_message(outgoing)
        message = BytesParser(policy=policy.default).parsebytes(outgoing.data)
        assert message["From"].addresses[0].display_name == "Universität für Bodenkultur, Wien Stopit"
        assert "Universität für Bodenkultur" in flat(message.get_content())
        assert message["Content-Transfer-Encoding"] == "quoted-printable"

    def test_an_address_that_needs_smtputf8_is_refused(self) -> None:
        with pytest.raises(Permanent):
            RENDERER.render(notice(), recipient="jürgen@example.edu", ref=SAMPLE_REF, at=SAMPLE_AT)

    def test_quoted_details_stay_quotes(self) -> None:
        facts = AlertFacts(AlertKind.SENDER_ANSWERED, "7KQ4-M2XD", details=("long " * 40, "> nested", "From here"))
        quoted = [line for line in rendered(facts).splitlines() if line.startswith(">")]
        assert len(quoted) >= 5
        assert "> From here" in quoted

    @settings(max_examples=60)
    @given(name=st.text(min_size=1, max_size=100), words=st.text(max_size=300), case=st.text(max_size=40))
    def test_hostile_values_add_no_header_and_no_recipient(self, name: str, words: str, case: str) -> None:
        campus = CAMPUS.model_copy(update={"name": name, "emergency": (words,)})
        office = Office.model_construct(name=words, address=name, about=words)
        renderer = Renderer(environment(None), campus, FlagWords(), (office,), KEYRING, ZONE)
        for facts in (
            NoticeFacts(case, date(2026, 11, 2)),
            AcknowledgementFacts(Reason.NOTICE_DUE, case),
            AlertFacts(AlertKind.SENDER_ANSWERED, case, reporter=name, sender=words, details=(words, name)),
        ):
            outgoing = renderer.render(facts, recipient="m@example.edu", ref=SAMPLE_REF, at=SAMPLE_AT)
            check_message(outgoing)
            strict = BytesParser(policy=policy.default).parsebytes(outgoing.data)
            assert getaddresses([str(strict["To"])]) == [("", "m@example.edu")]
            assert [a.addr_spec for a in strict["From"].addresses] == ["stopit@example.edu"]

    @pytest.mark.parametrize("value", ["{{7*7}}", "{% raw %}", "{# x #}", "{{ ''.__class__ }}"])
    def test_a_value_is_never_a_template(self, value: str) -> None:
        renderer = site(CAMPUS.model_copy(update={"name": value}))
        assert value in rendered(notice(), renderer)
        assert value in rendered(AlertFacts(AlertKind.SENDER_ANSWERED, "7KQ4", details=(value,)))

    @pytest.mark.parametrize("value", ["a\r\nBcc: eve@example.edu", "a\x00b", "a\u2028b", "a\u202eb", "a\ud800b"])
    def test_control_characters_are_gone(self, value: str) -> None:
        text = rendered(NoticeFacts(value, date(2026, 11, 2)))
        assert value not in text
        assert "\nBcc" not in text


class TestSiteTemplates:
    @pytest.mark.parametrize(
        ("folder", "messages"),
        [
            ("unknown-variable", ["notice.txt.j2:4 = acount: unknown variable; did you mean account?"]),
            ("syntax", ["notice.txt.j2:4: cannot be parsed: Unexpected end of template."]),
            ("no-subject", ["notice.txt.j2:1: must begin with `Subject: {% block subject %}...{% endblock %}`"]),
            ("no-empty-line", ["notice.txt.j2:1: an empty line and the text must follow the subject"]),
            ("subject-with-value", ["notice.txt.j2:1: the subject must be one line of words, without variables"]),
            ("unknown-file", ["notise.txt.j2: no template has this name; did you mean notice.txt.j2?"]),
            ("outside", ["notice.txt.j2:4 = ../../../../etc/passwd: no template has this name; known here:"]),
            ("dynamic-include", ["notice.txt.j2:4: the name of another template must be plain text in quotes"]),
            ("unknown-part", ["_offices.txt.j2:2 = adress: unknown part; did you mean address?"]),
            ("unknown-filter", ["notice.txt.j2:4: cannot be parsed: No filter named 'shout'."]),
            ("fails-in-use", ["notice.txt.j2:4: cannot be rendered: list object has no element 10"]),
            (
                "several",
                [
                    "ack-notice-due.txt.j2:2 = cancelword: unknown variable; did you mean cancel_word?",
                    "ack-notice-due.txt.j2:1 = acknowledgment.txt.j2: no template has this name; did you mean ack",
                    "firmer-notice.txt.j2:4 = acount: unknown variable; did you mean account?",
                    "notice.txt.j2:4 = reporter: unknown variable; did you mean report_address?",
                ],
            ),
        ],
    )
    def test_faults_name_file_line_and_what_is_right(self, folder: str, messages: list[str]) -> None:
        with pytest.raises(ConfigError) as caught:
            site(templates=BAD / folder)
        faults = [str(fault).removeprefix(f"{BAD / folder}/") for fault in caught.value.faults]
        assert len(faults) == len(messages), faults
        for fault, message in zip(faults, messages, strict=True):
            assert fault.startswith(message)

    def test_a_missing_directory_is_a_fault(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"notifier\.templates: cannot be read: No such file"):
            site(templates=tmp_path / "nowhere")

    def test_a_file_that_is_not_utf8_is_a_fault(self, tmp_path: Path) -> None:
        (tmp_path / "_emergency.txt.j2").write_bytes(b"\xff\xfe")
        with pytest.raises(ConfigError, match=r"_emergency\.txt\.j2: cannot be read as UTF-8"):
            site(templates=tmp_path)

    def test_a_template_that_includes_itself_is_a_fault(self, tmp_path: Path) -> None:
        (tmp_path / "_day.txt.j2").write_text('{% include "_day.txt.j2" %}')
        with pytest.raises(ConfigError, match="cannot be rendered: maximum recursion"):
            site(templates=tmp_path)

    def test_stands_in_front_and_the_rest_is_ours(self, tmp_path: Path) -> None:
        (tmp_path / "_day.txt.j2").write_text("{{ day }}.{{ month }}.{{ year }}\n")
        (tmp_path / "README").write_text("left alone")
        (tmp_path / "notice.txt.j2~").write_text("{{ left alone }}")
        text = flat(rendered(notice(), site(templates=tmp_path)))
        assert "on 2.11.2026 was reported" in text
        assert text.endswith("We trust that this will not happen again.")

    def test_a_translated_subject_is_encoded(self, tmp_path: Path) -> None:
        words = "Subject: {% block subject %}Eine Meldung über Post von Ihrem Konto{% endblock %}\n\n\nGrüß Gott.\n"
        (tmp_path / "notice.txt.j2").write_text(words, "utf-8")
        outgoing = site(templates=tmp_path).render(notice(), recipient="m@example.edu", ref=SAMPLE_REF, at=SAMPLE_AT)
        check_message(outgoing)
        message = BytesParser(policy=policy.default).parsebytes(outgoing.data)
        assert message["Subject"] == "Eine Meldung über Post von Ihrem Konto"
        assert message.get_content() == "Grüß Gott.\r\n"


def test_only_notices_go_to_a_sender() -> None:
    assert {kind for kind in MessageKind if kind.to_sender} == {MessageKind.NOTICE, MessageKind.FIRMER_NOTICE}


def test_the_readme_names_every_template_and_every_variable() -> None:
    readme = (shipped_directory() / "README.md").read_text("utf-8")
    known = {name for names in RENDERER.variables().values() for name in names}
    texts = {str(word) for word in (*Reason, *AnswerEffect, *AlertKind)}
    files = {n.removesuffix(".txt.j2").removeprefix("ack-").removeprefix("alert-") for n in template_names()}
    assert {word for word in known | texts | files if f"`{word}`" not in readme} == set()


def test_the_templates_of_a_checkout_are_found() -> None:
    assert (shipped_directory() / "notice.txt.j2").is_file()


def test_a_sample_is_the_message_of_its_facts() -> None:
    assert sample_text(RENDERER, MessageKind.NOTICE) == rendered(notice())
    assert "marked it as urgent" in flat(sample_text(RENDERER, MessageKind.ACKNOWLEDGEMENT, Reason.URGENT))
    assert "wants no notice after all" in flat(
        sample_text(RENDERER, MessageKind.STAFF_ALERT, AlertKind.REPORTER_CANCELLED)
    )
    assert "there is no trace" in flat(sample_text(RENDERER, MessageKind.STAFF_ALERT))
    with pytest.raises(ValueError, match="a notice has no text about urgent"):
        sample_text(RENDERER, MessageKind.NOTICE, Reason.URGENT)
